// A compiler of kernels at run time that calls a C++ compiler: what the fake driver loads. A test may plant a bug on the way.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

enum { SUCCESS = 0, COMPILATION = 6 };

struct Program {
  std::string name, source, log, image;
};

static std::string command, folder, spoiled, sought, planted;

// The compiler with its options, and a folder to work in.
extern "C" __attribute__((visibility("default"))) void fake_compile_with(const char* with, const char* in) {
  command = with, folder = in;
}

// From now on the source of this name has `with` where it has `find`, which must be there once; an empty name ends it.
extern "C" __attribute__((visibility("default"))) void fake_plant(const char* name, const char* find, const char* with) {
  spoiled = name, sought = find, planted = with;
}

static bool is_in_name(char letter) { return isalnum(static_cast<unsigned char>(letter)) || letter == '_'; }

// The names before the parameters of `__global__ void __launch_bounds__(n) name(`.
static std::vector<std::string> kernels(const std::string& source) {
  std::vector<std::string> names;
  const std::string mark = "__global__ void __launch_bounds__(";
  for (size_t at = source.find(mark); at != std::string::npos; at = source.find(mark, at + 1)) {
    const size_t start = source.find_first_not_of(" \n", source.find(')', at) + 1);
    size_t end = start;
    while (is_in_name(source[end])) end++;
    names.push_back(source.substr(start, end - start));
  }
  return names;
}

static std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

API nvrtcVersion(int* major, int* minor) { return *major = 99, *minor = 0, SUCCESS; }
API nvrtcCreateProgram(Program** program, const char* source, const char* name, int, const char* const*, const char* const*) {
  return *program = new Program{name, source, "", ""}, SUCCESS;
}
API nvrtcCompileProgram(Program* program, int, const char* const*) {
  std::string source = program->source;
  if (program->name == spoiled) {
    const size_t at = source.find(sought);
    if (at == std::string::npos || source.find(sought, at + 1) != std::string::npos)
      return program->log = "the place to plant is not there once", COMPILATION;
    source.replace(at, sought.size(), planted);
  }
  for (const auto& name : kernels(source)) source += "FAKE_KERNEL(" + name + ")\n";
  static std::map<std::string, std::string> images;
  if (images.count(source) != 0) return program->image = images[source], SUCCESS;
  static int compiled = 0;
  const std::string path = folder + "/" + std::to_string(getpid()) + "-" + std::to_string(compiled++);
  std::ofstream(path + ".cpp") << source;
  const int status = system((command + " -o " + path + ".so " + path + ".cpp 2> " + path + ".log").c_str());
  program->log = read(path + ".log");
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) return COMPILATION;
  const std::string library = read(path + ".so");
  const uint64_t bytes = library.size();
  program->image = "FAKECODE" + std::string(reinterpret_cast<const char*>(&bytes), sizeof bytes) + library;
  images[source] = program->image;
  return SUCCESS;
}
API nvrtcGetCUBINSize(Program* program, size_t* bytes) { return *bytes = program->image.size(), SUCCESS; }
API nvrtcGetCUBIN(Program* program, char* image) {
  return memcpy(image, program->image.data(), program->image.size()), SUCCESS;
}
API nvrtcGetProgramLogSize(Program* program, size_t* bytes) { return *bytes = program->log.size() + 1, SUCCESS; }
API nvrtcGetProgramLog(Program* program, char* log) {
  return memcpy(log, program->log.c_str(), program->log.size() + 1), SUCCESS;
}
API nvrtcDestroyProgram(Program** program) { return delete *program, *program = nullptr, SUCCESS; }
API nvrtcGetErrorString(int) { return 0; }
