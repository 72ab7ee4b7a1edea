/* Runs before the program: names what the processor lacks of the features that the build defines as NEEDS_..., and ends. */

#include <cpuid.h>
#include <string.h>
#include <unistd.h>

/* The shell's number for an illegal instruction. */
#define TOO_OLD 132

static void say(const char *text) {
    ssize_t written = write(2, text, strlen(text));
    (void)written;
}

static int missing = 0;

__attribute__((unused)) static void need(const char *name, unsigned flags, int bit) {
    if (flags >> bit & 1)
        return;
    say(missing++ ? ", "
                  : "error: this program needs a CPU of level x86-64-v3 (Intel Haswell, AMD Zen or newer); this one lacks ");
    say(name);
}

__attribute__((constructor(101))) static void check(void) {
    unsigned eax, ebx, ecx, edx;
    unsigned basic = 0, structured = 0, extended = 0;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        basic = ecx;
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        structured = ebx;
    if (__get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx))
        extended = ecx;
    (void)basic, (void)structured, (void)extended;
#ifdef NEEDS_SSE3
    need("SSE3", basic, 0);
#endif
#ifdef NEEDS_SSSE3
    need("SSSE3", basic, 9);
#endif
#ifdef NEEDS_FMA
    need("FMA", basic, 12);
#endif
#ifdef NEEDS_SSE4_1
    need("SSE4.1", basic, 19);
#endif
#ifdef NEEDS_SSE4_2
    need("SSE4.2", basic, 20);
#endif
#ifdef NEEDS_MOVBE
    need("MOVBE", basic, 22);
#endif
#ifdef NEEDS_POPCNT
    need("POPCNT", basic, 23);
#endif
#ifdef NEEDS_AVX
    need("AVX", basic, 28);
    /* The system must keep the wide registers too. */
    need("OSXSAVE", basic, 27);
#endif
#ifdef NEEDS_F16C
    need("F16C", basic, 29);
#endif
#ifdef NEEDS_BMI1
    need("BMI1", structured, 3);
#endif
#ifdef NEEDS_AVX2
    need("AVX2", structured, 5);
#endif
#ifdef NEEDS_BMI2
    need("BMI2", structured, 8);
#endif
#ifdef NEEDS_LZCNT
    need("LZCNT", extended, 5);
#endif
    if (missing) {
        say(". Use a newer machine, or build from source with RUSTFLAGS=\"-C target-cpu=x86-64\"\n");
        _exit(TOO_OLD);
    }
}
