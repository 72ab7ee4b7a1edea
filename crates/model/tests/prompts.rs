//! Prompts against references of `transformers`: the text of its chat templates and the ids of its tokenizers.

use std::fs;
use std::path::Path;

use obelysk_model::ModelError;
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;
use serde_json::Value;
use tempfile::TempDir;

/// The bundled model's folder, without its weights, changed as a case says.
fn folder_of(case: &Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let bundle = Path::new(env!("CARGO_MANIFEST_DIR")).join("bundle/tiny-chat");
    let without = case["without"].as_array().cloned().unwrap_or_default();
    for name in ["chat_template.jinja", "config.json", "tokenizer.json", "tokenizer_config.json"] {
        if !without.contains(&name.into()) {
            fs::copy(bundle.join(name), folder.path().join(name)).unwrap();
        }
    }
    for (name, content) in case["files"].as_object().into_iter().flatten() {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        if let Some(text) = content.as_str() {
            fs::write(&path, text).unwrap();
            continue;
        }
        let old = fs::read(&path)
            .map_or_else(|_| Value::Object(Default::default()), |old| serde_json::from_slice(&old).unwrap());
        let mut object = old.as_object().unwrap().clone();
        object.extend(content.as_object().unwrap().clone());
        fs::write(&path, Value::from(object).to_string()).unwrap();
    }
    folder
}

fn answer(case: &Value) -> Result<(Option<String>, Vec<u32>), ModelError> {
    let folder = folder_of(case);
    let tokenizer = ModelTokenizer::open(folder.path())?;
    if let Some(prompt) = case["prompt"].as_str() {
        return Ok((None, tokenizer.encode_prompt(prompt)?));
    }
    let text = ChatTemplate::open(folder.path())?.today().ask(case["question"].as_str().unwrap())?;
    let ids = tokenizer.encode(&text)?;
    Ok((Some(text), ids))
}

#[test]
fn prompts_are_those_that_transformers_builds() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/prompts/references.json");
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut wrong = 0;
    for case in &cases {
        let text = case["text"].as_str().map(str::to_owned);
        let ids =
            case["ids"].as_array().unwrap().iter().map(|id| u32::try_from(id.as_u64().unwrap()).unwrap()).collect();
        let answer = answer(case);
        let same = answer.as_ref().is_ok_and(|answer| *answer == (text.clone(), ids));
        println!("{:4} {}", if same { "ok" } else { "NOT" }, case["name"].as_str().unwrap());
        if !same {
            println!("     expected {text:?} {}\n     got      {answer:?}", case["ids"]);
            wrong += 1;
        }
    }
    assert_eq!(wrong, 0, "{wrong} of {} prompts are others", cases.len());
}
