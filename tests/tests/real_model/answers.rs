//! What both engines answer to questions that neither the quantiser nor its tests have seen.

use obelysk_model::float::FloatModel;
use obelysk_model::integer::IntegerModel;
use obelysk_model::template::ChatTemplate;
use obelysk_model::tokenizer::ModelTokenizer;

use crate::model::real_model;

const PROMPTS: &str = include_str!("../../fixtures/prompts.txt");
/// Tokens of an answer at most.
const LIMIT: usize = 16;

#[test]
fn nine_of_ten_tokens_of_answers_to_new_questions_are_those_of_the_float_engine() {
    let folder = &real_model().folder;
    let quantized = real_model().quantized();
    let integer = IntegerModel::new(&quantized);
    let float = FloatModel::open(folder).unwrap();
    let (tokenizer, template) = (ModelTokenizer::open(folder).unwrap(), ChatTemplate::open(folder).unwrap());
    let stop = &float.config().eos_token_ids;
    let (mut equal, mut all) = (0, 0);
    println!("equal  question -> answer of the integer engine | of the float engine, where it differs");
    for question in PROMPTS.lines() {
        let prompt = tokenizer.encode(&template.ask(question).unwrap()).unwrap();
        let expected = float.generate(&prompt, LIMIT, |_| {}).unwrap();
        let actual = integer.generate(&prompt, LIMIT, stop).unwrap();
        // After a difference the engines read different texts.
        let own = expected.iter().zip(&actual).take_while(|(a, b)| a == b).count();
        let longest = expected.len().max(actual.len());
        let other = if own == longest { String::new() } else { format!(" | {:?}", tokenizer.decode(&expected)) };
        println!("{own:>2}/{longest:<2}  {question} -> {:?}{other}", tokenizer.decode(&actual));
        equal += own;
        all += longest;
    }
    println!("{equal} of {all} tokens");
    assert_eq!(PROMPTS.lines().count(), 20);
    assert!(equal * 10 >= all * 9, "{equal} of {all} tokens are equal: fewer than nine of ten");
}
