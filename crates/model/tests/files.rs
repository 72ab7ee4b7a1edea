//! Files of a model's folder that are damaged, hostile, unsupported or ambiguous: which error, and what it names.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use obelysk_model::ModelError;
use obelysk_model::checkpoint::Checkpoint;
use obelysk_model::config::ModelConfig;
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use obelysk_model::validate::{check_tensors, validate};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tempfile::TempDir;

fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("bundle/tiny-chat")
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/models").join(name)
}

fn copy(folder: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

fn code(error: &ModelError) -> u32 {
    match error {
        ModelError::Unsupported(_) | ModelError::UnsupportedTemplate(_) => 13,
        ModelError::BadInput(_) | ModelError::UnknownPreset(_) => 10,
        ModelError::Io { .. } => 41,
        ModelError::Mismatch(_) | ModelError::Missing(_) | ModelError::Corrupt { .. } => 12,
        ModelError::Weights(_) => 42,
        ModelError::Multiplier(_) => 32,
    }
}

/// Exit code and message of every case, and that they are those expected.
fn table<C: std::fmt::Debug>(cases: impl IntoIterator<Item = (C, u32, &'static str)>, run: impl Fn(&C) -> ModelError) {
    for (case, expected, named) in cases {
        let start = Instant::now();
        let error = run(&case);
        let shown: String = format!("{case:?}").chars().take(70).collect();
        println!("{} {shown:70} {error}", code(&error));
        assert_eq!(code(&error), expected, "{shown}: {error}");
        assert!(error.to_string().contains(named), "{shown}: {error}");
        assert!(start.elapsed() < Duration::from_secs(20), "{shown} takes too long");
    }
}

#[test]
fn a_bad_template_is_an_error_within_its_budget_and_no_crash() {
    let nested = "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}";
    let cases: [(Vec<u8>, u32, &str); 21] = [
        ("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}".into(), 12, "more steps"),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}".into(), 12, "chat_template.jinja"),
        ("{% set x = 'x' * 99999 * 99999 %}{{ x }}".into(), 12, "chat_template.jinja"),
        (
            "{% set ns = namespace(x='x') %}{% for i in range(99) %}{% set ns.x = ns.x + ns.x %}{% endfor %}".into(),
            12,
            "more steps",
        ),
        (format!("{{{{ {}1 }}}}", "not ".repeat(60_000)).into(), 12, "240"),
        (format!("{{{{ {}1 }}}}", "not ".repeat(4_000)).into(), 0, ""),
        (format!("{{{{ {}1 }}}}", "-".repeat(16_000)).into(), 0, ""),
        (format!("{{{{ 1{} }}}}", "+1".repeat(8_000)).into(), 0, ""),
        (format!("{{{{ a{} }}}}", ".b".repeat(8_000)).into(), 12, "undefined"),
        (format!("{{{{ {}1{} }}}}", "(".repeat(8_000), ")".repeat(8_000)).into(), 12, "recursion"),
        (format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(20_000)).into(), 0, ""),
        ("{% if a %}".repeat(20_000).into(), 12, "recursion"),
        (vec![b' '; 300_000], 12, "300000 bytes"),
        (format!("{nested}{{{{ ns.x | tojson }}}}").into(), 12, "levels"),
        (format!("{nested}{{{{ ns.x }}}}").into(), 0, ""),
        (b"{# gr\xfc\xdfe #}".to_vec(), 12, "byte 5"),
        ("{% for m in messages %}".into(), 12, "chat_template.jinja"),
        ("{{ raise_exception('only with a system message') }}".into(), 10, "only with a system message"),
        ("{{ 'a' | striptags }}".into(), 13, "striptags"),
        ("{{ messages.append('a') }}".into(), 13, "append"),
        ("{% trans %}a{% endtrans %}".into(), 13, "trans"),
    ];
    let render = |template: &Vec<u8>| {
        let folder = copy(&bundled());
        fs::write(folder.path().join("chat_template.jinja"), template).unwrap();
        ChatTemplate::open(folder.path()).and_then(|template| template.ask("Who are you?"))
    };
    let (fine, bad): (Vec<_>, Vec<_>) = cases.into_iter().partition(|(_, code, _)| *code == 0);
    table(
        bad.into_iter()
            .map(|(template, code, named)| (String::from_utf8_lossy(&template).into_owned(), template, code, named))
            .map(|(shown, template, code, named)| ((shown, template), code, named)),
        |(_, template)| render(template).unwrap_err(),
    );
    for (template, _, _) in fine {
        let shown: String = String::from_utf8_lossy(&template).chars().take(40).collect();
        let start = Instant::now();
        // Such a value or depth may be rendered or refused: what counts is that the process goes on.
        let outcome = render(&template).map(|text| text.len()).map_err(|error| code(&error));
        println!("   {shown}: {outcome:?} in {:?}", start.elapsed());
        assert!(start.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn a_template_that_is_not_supported_hinders_conversations_alone() {
    let folder = copy(&bundled());
    fs::write(folder.path().join("chat_template.jinja"), "{{ 'a' | striptags }}").unwrap();
    let check = |folder: &Path| validate(folder, &ModelConfig::read(folder)?, &Checkpoint::open(folder)?);
    check(folder.path()).unwrap();
    assert!(ChatTemplate::for_questions(folder.path()).unwrap().is_none());
    fs::write(folder.path().join("chat_template.jinja"), "{% if %}").unwrap();
    assert_eq!(code(&check(folder.path()).unwrap_err()), 12, "a damaged one is the model's fault");
}

#[test]
fn a_date_is_the_same_for_what_is_prepared_and_todays_for_prompts() {
    let folder = copy(&bundled());
    fs::write(folder.path().join("chat_template.jinja"), "{{ strftime_now('%d %b %Y') }}").unwrap();
    let template = ChatTemplate::open(folder.path()).unwrap();
    assert_eq!(template.ask("a").unwrap(), "01 Jan 2026");
    assert_ne!(template.today().ask("a").unwrap(), "01 Jan 2026");
}

#[test]
fn bad_files_of_the_tokenizer_are_named_with_the_key() {
    let tokens = |id: &str, token: Value| json!({"added_tokens_decoder": {id: token}}).to_string();
    let cases = [
        (("tokenizer_config.json", "{\"eos_token\": \"<|im".to_owned()), 12, "tokenizer_config.json"),
        (("tokenizer_config.json", "[]".into()), 12, "tokenizer_config.json"),
        (("tokenizer_config.json", json!({"eos_token": 7}).to_string()), 12, "eos_token"),
        (("tokenizer_config.json", json!({"pad_token": {"lstrip": true}}).to_string()), 12, "pad_token"),
        (("tokenizer_config.json", json!({"chat_template": 7}).to_string()), 12, "chat_template"),
        (
            ("tokenizer_config.json", json!({"additional_special_tokens": [7]}).to_string()),
            12,
            "additional_special_tokens",
        ),
        (("tokenizer_config.json", tokens("1", json!("<|im_start|>"))), 12, "added_tokens_decoder"),
        (("tokenizer_config.json", tokens("x", json!({"content": "<|im_start|>"}))), 12, "added_tokens_decoder"),
        (("tokenizer_config.json", tokens("7", json!({"content": "<|im_start|>", "special": true}))), 12, "has id 7"),
        (("tokenizer_config.json", tokens("1", json!({"content": "<|im_start|>", "lstrip": 1}))), 12, "lstrip"),
        (("special_tokens_map.json", "{".into()), 12, "special_tokens_map.json"),
        (("added_tokens.json", json!({"<|x|>": -1}).to_string()), 12, "added_tokens.json"),
        (("added_tokens.json", json!({"<|im_start|>": 9}).to_string()), 12, "added_tokens.json"),
    ];
    table(cases, |(file, text)| {
        let folder = copy(&bundled());
        if *file == "tokenizer_config.json" && text.contains("chat_template") {
            fs::remove_file(folder.path().join("chat_template.jinja")).unwrap();
        }
        fs::write(folder.path().join(file), text).unwrap();
        let open = ModelTokenizer::open(folder.path()).and_then(|_| ChatTemplate::open(folder.path()));
        open.unwrap_err()
    });
}

#[test]
fn ids_beyond_the_model_are_refused_where_a_prompt_uses_them() {
    let folder = copy(&bundled());
    let path = folder.path().join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut token = file["added_tokens"][0].clone();
    (token["id"], token["content"]) = (json!(512), json!("<|tool|>"));
    file["added_tokens"].as_array_mut().unwrap().push(token);
    fs::write(&path, file.to_string()).unwrap();
    let tokenizer = ModelTokenizer::open(folder.path()).unwrap();
    tokenizer.check_vocabulary(512).unwrap();
    let check = |text: &str| tokenizer.check_ids(&tokenizer.encode_prompt(text).unwrap(), 512);
    check("What is 7 + 5?").unwrap();
    let error = check("one <|tool|> two").unwrap_err();
    assert_eq!(code(&error), 12);
    assert!(["tokenizer.json", "<|tool|>", "512"].iter().all(|part| error.to_string().contains(part)), "{error}");
    let error = tokenizer.check_vocabulary(400).unwrap_err();
    assert!(error.to_string().contains("model.vocab"), "the tokenizer of a larger model: {error}");
}

#[test]
fn a_tokenizer_of_random_ids_is_unsupported() {
    let folder = copy(&bundled());
    let path = folder.path().join("tokenizer.json");
    let mut file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    file["model"]["dropout"] = json!(0.1);
    fs::write(&path, file.to_string()).unwrap();
    let error = ModelTokenizer::open(folder.path()).unwrap_err();
    assert!(code(&error) == 13 && error.to_string().contains("model.dropout"), "{error}");
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn read(path: &Path) -> Tensors {
    let bytes = fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let owned =
        |(name, view): (String, TensorView)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec()));
    tensors.tensors().into_iter().map(owned).collect()
}

fn write(path: &Path, tensors: &Tensors) {
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).unwrap()));
    fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

#[test]
fn weights_that_are_quantised_ambiguous_or_of_other_shapes_are_refused_before_they_are_used() {
    const NORM: &str = "model.norm.weight";
    const OUTPUT: &str = "model.layers.0.self_attn.o_proj.weight";
    const EMBEDDING: &str = "model.embed_tokens.weight";
    type Change = fn(&mut Tensors);
    let scale = |name: &'static str, change: Change| (("qwen3", name, change), 13, name);
    let cases: [((&str, &str, Change), u32, &'static str); 13] = [
        (
            ("qwen3", "no elements", |tensors| {
                tensors.insert(NORM.into(), (Dtype::BF16, vec![0], Vec::new()));
            }),
            12,
            NORM,
        ),
        (
            ("qwen3", "twice the rows", |tensors| {
                let (_, shape, data) = tensors.get_mut(OUTPUT).unwrap();
                shape[0] *= 2;
                *data = data.repeat(2);
            }),
            12,
            OUTPUT,
        ),
        (
            ("qwen3", "a row less", |tensors| {
                let (_, shape, data) = tensors.get_mut(EMBEDDING).unwrap();
                shape[0] -= 1;
                data.truncate(shape[0] * shape[1] * 2);
            }),
            12,
            EMBEDDING,
        ),
        (
            ("qwen3", "a flat matrix", |tensors| {
                let shape = &mut tensors.get_mut(OUTPUT).unwrap().1;
                *shape = vec![shape.iter().product()];
            }),
            12,
            OUTPUT,
        ),
        (
            ("qwen2", "a bias of another width", |tensors| {
                let (_, shape, data) = tensors.get_mut("model.layers.1.self_attn.k_proj.bias").unwrap();
                shape[0] *= 2;
                *data = data.repeat(2);
            }),
            12,
            "k_proj.bias",
        ),
        (("qwen3", "no head", |tensors| drop(tensors.remove("lm_head.weight"))), 12, "lm_head.weight"),
        (
            ("gemma2", "another head, tied", |tensors| {
                let (dtype, shape, mut data) = tensors[EMBEDDING].clone();
                data[1] ^= 1;
                tensors.insert("lm_head.weight".into(), (dtype, shape, data));
            }),
            12,
            EMBEDDING,
        ),
        (
            ("qwen3", "weights of 8 bits", |tensors| {
                let (dtype, _, data) = tensors.get_mut(OUTPUT).unwrap();
                *dtype = Dtype::F8_E4M3;
                data.truncate(data.len() / 2);
            }),
            13,
            OUTPUT,
        ),
        scale("model.layers.0.mlp.up_proj.weight_scale_inv", |tensors| {
            add(tensors, "model.layers.0.mlp.up_proj.weight_scale_inv")
        }),
        scale("model.layers.0.mlp.up_proj.qweight", |tensors| add(tensors, "model.layers.0.mlp.up_proj.qweight")),
        scale("model.layers.0.mlp.up_proj.weight.absmax", |tensors| {
            add(tensors, "model.layers.0.mlp.up_proj.weight.absmax")
        }),
        scale("model.layers.0.mlp.up_proj.SCB", |tensors| add(tensors, "model.layers.0.mlp.up_proj.SCB")),
        scale("model.layers.0.mlp.up_proj.g_idx", |tensors| add(tensors, "model.layers.0.mlp.up_proj.g_idx")),
    ];
    table(
        cases.map(|((model, what, change), code, named)| ((model, what, Shown(change)), code, named)),
        |(model, _, change)| {
            let folder = copy(&fixture(model));
            let path = folder.path().join("model.safetensors");
            let mut tensors = read(&path);
            (change.0)(&mut tensors);
            write(&path, &tensors);
            let (config, checkpoint) =
                (ModelConfig::read(folder.path()).unwrap(), Checkpoint::open(folder.path()).unwrap());
            // The data type is seen where values are read.
            let refused =
                check_tensors(&config, &checkpoint).and_then(|()| validate(folder.path(), &config, &checkpoint));
            refused.unwrap_err()
        },
    );
}

/// A change, which has nothing to show.
struct Shown(fn(&mut Tensors));

impl std::fmt::Debug for Shown {
    fn fmt(&self, _: &mut std::fmt::Formatter) -> std::fmt::Result {
        Ok(())
    }
}

fn add(tensors: &mut Tensors, name: &str) {
    tensors.insert(name.into(), (Dtype::F32, vec![1], vec![0; 4]));
}

#[test]
fn a_head_that_is_the_embedding_again_is_no_other_head() {
    let folder = copy(&fixture("gemma2"));
    let path = folder.path().join("model.safetensors");
    let mut tensors = read(&path);
    tensors.insert("lm_head.weight".into(), tensors["model.embed_tokens.weight"].clone());
    write(&path, &tensors);
    check_tensors(&ModelConfig::read(folder.path()).unwrap(), &Checkpoint::open(folder.path()).unwrap()).unwrap();
}

#[test]
fn one_file_wins_over_a_stale_index_and_never_over_other_shards() {
    let whole = fixture("qwen3").join("model.safetensors");
    let beside = |change: fn(&Path)| {
        let folder = copy(&fixture("qwen3_sharded"));
        fs::copy(&whole, folder.path().join("model.safetensors")).unwrap();
        change(folder.path());
        Checkpoint::open(folder.path()).map(|checkpoint| checkpoint.shards().len())
    };
    assert_eq!(beside(|_| ()).unwrap(), 1, "both hold the same values");
    let stale = beside(|folder| {
        for number in 1..=5 {
            fs::remove_file(folder.join(format!("model-0000{number}-of-00005.safetensors"))).unwrap();
        }
    });
    assert_eq!(stale.unwrap(), 1);
    let differing = beside(|folder| {
        let path = folder.join("model.safetensors");
        let mut tensors = read(&path);
        tensors.get_mut("model.norm.weight").unwrap().2[1] ^= 1;
        write(&path, &tensors);
    });
    let error = differing.unwrap_err();
    assert_eq!(code(&error), 12);
    let named = ["model.safetensors", "model-0000", "index.json", "model.norm.weight"];
    assert!(named.iter().all(|name| error.to_string().contains(name)), "{error}");
}

#[test]
fn shards_have_the_names_that_the_index_gives_them() {
    let folder = copy(&fixture("qwen3_sharded"));
    let index = folder.path().join("model.safetensors.index.json");
    let mut text = fs::read_to_string(&index).unwrap();
    for number in 1..=5 {
        let old = format!("model-0000{number}-of-00005.safetensors");
        let new = format!("model.safetensors-0000{number}-of-00005.safetensors");
        fs::rename(folder.path().join(&old), folder.path().join(&new)).unwrap();
        text = text.replace(&old, &new);
    }
    fs::write(&index, text).unwrap();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().shards().len(), 5);
}
