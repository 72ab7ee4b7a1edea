//! Model folders as they come: what each makes of a prompt, or which error. One table, printed with `--nocapture`: case, exit
//! code, result.

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::Dtype;
use serde_json::{Value, json};

use crate::model::{copy_of_fixture, copy_of_tiny_chat, edit_config, put_zeros};
use crate::program::{Outcome, obelysk};

const QUESTION: &str = "Is 3 < 5 & 7 > 2?";

/// What is right.
enum Right {
    /// These ids of the prompt.
    Ids(Vec<u32>),
    /// An answer whose JSON has this.
    Says(&'static str),
    /// What the model answers as it comes.
    Unchanged,
    /// A failure with this exit code that names this.
    Fails(i32, &'static str),
}

struct Case {
    name: &'static str,
    /// `tiny-chat` or a fixture.
    model: &'static str,
    change: Box<dyn Fn(&Path)>,
    arguments: Vec<String>,
    right: Right,
}

fn case(
    name: &'static str,
    model: &'static str,
    arguments: &[&str],
    right: Right,
    change: impl Fn(&Path) + 'static,
) -> Case {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    Case { name, model, change: Box::new(change), arguments, right }
}

impl Case {
    fn run(&self) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let model = self.model(folder.path());
        (self.change)(&model);
        self.ask(&model)
    }

    fn model(&self, folder: &Path) -> PathBuf {
        match self.model {
            "tiny-chat" => copy_of_tiny_chat(folder),
            fixture => copy_of_fixture(folder, fixture),
        }
    }

    fn ask(&self, model: &Path) -> Outcome {
        let (out, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let out = out.path().join("out");
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        arguments.extend(["--quiet", "--model-dir", model.to_str().unwrap()]);
        if arguments[0] == "run" {
            arguments.extend(["--out", out.to_str().unwrap()]);
        }
        obelysk(home.path(), arguments)
    }

    fn is_right(&self, outcome: &Outcome) -> bool {
        let json = outcome.json();
        match &self.right {
            Right::Ids(ids) => outcome.code == 0 && json["promptTokens"] == json!(ids),
            Right::Unchanged => {
                let folder = tempfile::tempdir().unwrap();
                let answer = self.ask(&self.model(folder.path())).ok();
                outcome.code == 0 && json["outputTokens"] == answer["outputTokens"]
            }
            Right::Says(text) => outcome.code == 0 && json.to_string().contains(text),
            Right::Fails(code, named) => {
                outcome.code == *code && json.to_string().contains(named) && !json["hint"].as_str().unwrap().is_empty()
            }
        }
    }
}

/// Change a JSON file of a model, which may be absent before.
fn edit(file: &'static str, edit: impl Fn(&mut Value) + 'static) -> impl Fn(&Path) + 'static {
    move |model| {
        let path = model.join(file);
        let mut value = fs::read(&path).map_or_else(|_| json!({}), |text| serde_json::from_slice(&text).unwrap());
        edit(&mut value);
        fs::write(path, value.to_string()).unwrap();
    }
}

fn template(text: &'static str) -> impl Fn(&Path) + 'static {
    move |model| fs::write(model.join("chat_template.jinja"), text).unwrap()
}

fn config(change: impl Fn(&mut Value) + 'static) -> impl Fn(&Path) + 'static {
    move |model| edit_config(model, &change)
}

fn cases() -> Vec<Case> {
    let plain = ["infer", "--max-new-tokens", "1", "--prompt", QUESTION];
    let chat = ["infer", "--max-new-tokens", "1", "--chat", "--prompt", QUESTION];
    let tokens = ["infer", "--max-new-tokens", "1", "--tokens", "1,5,7"];
    let answer = ["infer", "--max-new-tokens", "16", "--tokens", "1,5,7,9,300,11,40,2"];
    let run = ["run", "--max-new-tokens", "1", "--tokens", "1,5,7"];
    let ids = |arguments: &[&str]| {
        let outcome = case("", "tiny-chat", arguments, Right::Says(""), |_| ()).run();
        serde_json::from_value::<Vec<u32>>(outcome.ok()["promptTokens"].clone()).unwrap()
    };
    let (read, asked) = (ids(&plain), ids(&chat));
    let quoted = ids(&["infer", "--max-new-tokens", "1", "--prompt", &format!("\"{QUESTION}\"")]);
    let stripped = ids(&["infer", "--max-new-tokens", "1", "--prompt", "a<|im_end|>b"]);
    let with_first: Vec<u32> = [1].into_iter().chain(read.iter().copied()).collect();
    let flags = json!({"single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let token = move |content: &str| {
        let mut token = flags.clone();
        token["content"] = json!(content);
        token
    };
    let decoder = {
        let token = token.clone();
        move |value: &mut Value| {
            value["added_tokens_decoder"] = json!({"1": token("<|im_start|>"), "2": token("<|im_end|>")})
        }
    };
    let stripping = {
        let token = token.clone();
        move |value: &mut Value| {
            let mut token = token("<|im_end|>");
            (token["lstrip"], token["rstrip"]) = (json!(true), json!(true));
            value["added_tokens_decoder"] = json!({"2": token});
        }
    };
    let beyond = {
        let token = token.clone();
        move |value: &mut Value| {
            let mut token = token("<|tool|>");
            token["id"] = json!(512);
            value["added_tokens"].as_array_mut().unwrap().push(token);
        }
    };
    let first_token = |value: &mut Value| {
        value["post_processor"]["single"] =
            json!([{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]);
        value["post_processor"]["special_tokens"] =
            json!({"<|im_start|>": {"id": "<|im_start|>", "ids": [1], "tokens": ["<|im_start|>"]}});
    };
    let shorter = |value: &mut Value| {
        value["truncation"] = json!({"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0});
    };
    let quantised =
        |method: &'static str| config(move |value| value["quantization_config"] = json!({"quant_method": method}));
    use Right::{Fails, Ids, Says, Unchanged};
    vec![
        case("truncation", "tiny-chat", &plain, Ids(read.clone()), edit("tokenizer.json", shorter)),
        case("first token, plain", "tiny-chat", &plain, Ids(with_first), edit("tokenizer.json", first_token)),
        case("first token, chat", "tiny-chat", &chat, Ids(asked.clone()), edit("tokenizer.json", first_token)),
        case("tokens in the configuration alone", "tiny-chat", &chat, Ids(asked.clone()), move |model| {
            edit("tokenizer.json", |value| {
                value["added_tokens"].as_array_mut().unwrap().retain(|token| token["id"] == 3)
            })(model);
            edit("tokenizer_config.json", decoder.clone())(model);
        }),
        case("unused token beyond the model", "tiny-chat", &plain, Ids(read), edit("tokenizer.json", beyond.clone())),
        case(
            "unused token beyond the model, run",
            "tiny-chat",
            &run,
            Says("modelDigest"),
            edit("tokenizer.json", beyond.clone()),
        ),
        case(
            "used token beyond the model",
            "tiny-chat",
            &["infer", "--prompt", "a <|tool|>"],
            Fails(12, "512"),
            edit("tokenizer.json", beyond),
        ),
        case(
            "token that strips blanks",
            "tiny-chat",
            &["infer", "--max-new-tokens", "1", "--prompt", "a <|im_end|> b"],
            Ids(stripped),
            edit("tokenizer_config.json", stripping),
        ),
        case("configuration cut off", "tiny-chat", &chat, Fails(12, "tokenizer_config.json"), |model| {
            fs::write(model.join("tokenizer_config.json"), "{\"eos_token\": ").unwrap();
        }),
        case("named templates", "tiny-chat", &chat, Ids(asked), |model| {
            let text = fs::read_to_string(model.join("chat_template.jinja")).unwrap();
            fs::remove_file(model.join("chat_template.jinja")).unwrap();
            edit("tokenizer_config.json", move |value| {
                value["chat_template"] =
                    json!([{"name": "tool_use", "template": "x"}, {"name": "default", "template": text}]);
            })(model);
        }),
        case(
            "endless loops",
            "tiny-chat",
            &chat,
            Fails(12, "more steps"),
            template("{% for a in range(80000) %}{% for b in range(80000) %}{% endfor %}{% endfor %}"),
        ),
        case("deep expression", "tiny-chat", &chat, Fails(12, "chat_template.jinja"), |model| {
            fs::write(model.join("chat_template.jinja"), format!("{{{{ {}true }}}}", "not ".repeat(50_000))).unwrap();
        }),
        case("template in Latin-1", "tiny-chat", &chat, Fails(12, "UTF-8"), |model| {
            fs::write(model.join("chat_template.jinja"), b"{# \xe9 #}").unwrap();
        }),
        case("unknown filter", "tiny-chat", &chat, Fails(13, "--chat"), template("{{ 'a' | striptags }}")),
        case("unknown filter, no chat", "tiny-chat", &run, Says("modelDigest"), template("{{ 'a' | striptags }}")),
        case(
            "refusing template",
            "tiny-chat",
            &chat,
            Fails(10, "not you"),
            template("{{ raise_exception('not you') }}"),
        ),
        case("text as JSON", "tiny-chat", &chat, Ids(quoted), template("{{ messages[0].content | tojson }}")),
        case("pad token", "tiny-chat", &chat, Ids(vec![3]), template("{{ pad_token }}")),
        case("date", "tiny-chat", &chat, Says("promptTokens"), template("{{ strftime_now('%d %b %Y') }}")),
        case(
            "date, run",
            "tiny-chat",
            &run,
            Says("modelDigest"),
            template("{{ strftime_now('%d %b %Y') }}{{ messages[0].content }}"),
        ),
        case("eps of 1", "qwen3", &run, Fails(13, "rms_norm_eps"), config(|value| value["rms_norm_eps"] = json!(1.0))),
        case(
            "quantised by configuration",
            "qwen3",
            &run,
            Fails(13, "awq"),
            config(|value| value["quantization_config"] = json!({"quant_method": "awq"})),
        ),
        case(
            "linear rotary scaling",
            "llama31",
            &run,
            Fails(13, "linear"),
            config(|value| value["rope_scaling"] = json!({"type": "linear", "factor": 2})),
        ),
        case(
            "two architectures",
            "llama31",
            &tokens,
            Fails(12, "model_type"),
            config(|value| value["model_type"] = json!("qwen2")),
        ),
        case(
            "larger vocabulary",
            "qwen3",
            &["infer", "--tokens", "550"],
            Fails(12, "embed_tokens"),
            config(|value| value["vocab_size"] = json!(600)),
        ),
        case(
            "larger vocabulary, integer engine",
            "qwen3",
            &["infer", "--engine", "integer", "--tokens", "1"],
            Fails(12, "embed_tokens"),
            config(|value| value["vocab_size"] = json!(600)),
        ),
        case(
            "no hidden_activation",
            "gemma2",
            &answer,
            Unchanged,
            config(|value| {
                value.as_object_mut().unwrap().remove("hidden_activation");
            }),
        ),
        case(
            "hidden_act beside no hidden_activation",
            "gemma2",
            &answer,
            Unchanged,
            config(|value| {
                (value["hidden_activation"], value["hidden_act"]) = (Value::Null, json!("silu"));
            }),
        ),
        case(
            "no caps of scores and logits",
            "gemma2",
            &answer,
            Unchanged,
            config(|value| {
                let config = value.as_object_mut().unwrap();
                for cap in ["attn_logit_softcapping", "final_logit_softcapping"] {
                    config.remove(cap).unwrap();
                }
            }),
        ),
        case(
            "activation of another family",
            "qwen3",
            &answer,
            Unchanged,
            config(|value| value["hidden_activation"] = json!("gelu_pytorch_tanh")),
        ),
        case(
            "rotary scaling beside parameters",
            "llama31",
            &answer,
            Unchanged,
            config(|value| {
                value["rope_parameters"] = json!({"rope_type": "default", "rope_theta": value["rope_theta"]});
            }),
        ),
        case(
            "rotary type twice",
            "llama31",
            &answer,
            Unchanged,
            config(|value| value["rope_scaling"]["type"] = value["rope_scaling"]["rope_type"].clone()),
        ),
        case("empty norm", "qwen3", &tokens, Fails(12, "model.norm.weight"), |model| {
            put_zeros(model, "model.norm.weight", Dtype::BF16, &[0]);
        }),
        case("projection with twice the rows", "qwen3", &tokens, Fails(12, "o_proj"), |model| {
            put_zeros(model, "model.layers.0.self_attn.o_proj.weight", Dtype::BF16, &[192, 128]);
        }),
        case("weights of eight bits", "qwen3", &run, Fails(13, "fp8"), move |model| {
            quantised("fp8")(model);
            put_zeros(model, "model.layers.0.self_attn.q_proj.weight", Dtype::F8_E4M3, &[128, 96]);
        }),
        case("scales beside the weights", "qwen3", &run, Fails(13, "compressed-tensors"), move |model| {
            quantised("compressed-tensors")(model);
            put_zeros(model, "model.layers.0.self_attn.q_proj.weight_scale", Dtype::BF16, &[128, 1]);
        }),
        case("scales without a word in the configuration", "qwen3", &run, Fails(13, "weight_scale"), |model| {
            put_zeros(model, "model.layers.0.self_attn.q_proj.weight_scale", Dtype::BF16, &[128, 1]);
        }),
        case("another head beside tied embeddings", "gemma2", &answer, Fails(12, "tie_word_embeddings"), |model| {
            put_zeros(model, "lm_head.weight", Dtype::BF16, &[512, 96]);
        }),
        case("wider head", "qwen3", &tokens, Fails(12, "q_norm"), config(|value| value["head_dim"] = json!(64))),
        case(
            "more layers",
            "qwen3",
            &tokens,
            Fails(12, "layers.2"),
            config(|value| value["num_hidden_layers"] = json!(3)),
        ),
        case("one file beside other shards", "qwen3_sharded", &tokens, Fails(12, "index.json"), |model| {
            let other = copy_of_fixture(model, "qwen3").join("model.safetensors");
            let mut bytes = fs::read(other).unwrap();
            let last = bytes.len() - 2;
            bytes[last] ^= 1;
            fs::write(model.join("model.safetensors"), bytes).unwrap();
        }),
        case(
            "settings of a generation",
            "tiny-chat",
            &chat,
            Says("repetition_penalty 1.2"),
            edit("generation_config.json", |value| value["repetition_penalty"] = json!(1.2)),
        ),
        case(
            "settings of a generation, run",
            "tiny-chat",
            &run,
            Says("repetition_penalty 1.2"),
            edit("generation_config.json", |value| value["repetition_penalty"] = json!(1.2)),
        ),
    ]
}

#[test]
fn every_model_folder_gives_its_prompt_or_a_fitting_error() {
    let mut wrong = Vec::new();
    for case in cases() {
        let outcome = case.run();
        let json = outcome.json();
        let result = if outcome.code == 0 {
            json["promptTokens"].to_string()
        } else {
            format!("{} ({})", json["message"], json["hint"])
        };
        println!("{:36} {:3} {}", case.name, outcome.code, result);
        if !case.is_right(&outcome) {
            wrong.push(case.name);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
