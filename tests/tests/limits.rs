//! The limits that the README states: what is just inside of each compiles, what is just outside is refused by its name.

use std::fs;

use obelysk_prover::estimate;
use obelysk_statement::compile::validate_description;
use obelysk_statement::description::Shape;
use obelysk_statement::fiat_shamir::FiatShamir;
use obelysk_statement::layout::{Layout, Role};
use obelysk_statement::lookup::blocks;
use obelysk_statement::plan::Plan;
use obelysk_statement::{CompileError, ModelDescription, SecurityReport, Statement, TableId, batch, compile};
use obelysk_tests::published::{inference, models, with_shape};
use obelysk_tests::subject::{fixture, quantized};

/// The accounting of a proof that is not made: of the points that claims are about, only the number counts.
fn security(plan: &Plan) -> Result<SecurityReport, CompileError> {
    let statement = plan.statement;
    let mut transcript = FiatShamir::default();
    let mut claims = plan.claims();
    let value = transcript.challenge();
    let leaf = transcript.challenges(plan.log_leaves());
    claims.lookup(&plan.blocks, [value; 2], &leaf);
    let points = plan.draw_points(&mut transcript);
    claims.linear_relations(&points);
    for products in &plan.products {
        let end = transcript.challenges(batch::variables(statement, &products.axes()));
        claims.products(products, value, &points, &end);
    }
    for zerocheck in &plan.zerochecks {
        let end = transcript.challenges(batch::variables(statement, &zerocheck.axes));
        claims.zerocheck(zerocheck, value, &points, &end);
    }
    plan.security(&claims)
}

/// What the README says.
const README: &str = include_str!("../../README.md");

fn lookups(statement: &Statement) -> u64 {
    blocks(statement).iter().map(|block| 1u64 << block.log_size).sum()
}

fn cells(statement: &Statement, role: Role) -> u64 {
    let layout = Layout::new(statement, role).expect("a model has tensors of every role");
    layout.tiles.iter().map(|tile| 1u64 << tile.arity()).sum()
}

/// A model by its name.
fn model(name: &str) -> ModelDescription {
    models().into_iter().find(|(other, _)| *other == name).unwrap().1
}

/// The largest number in `1..end` that passes a test which only larger ones fail.
fn largest(end: usize, passes: impl Fn(usize) -> bool) -> usize {
    let (mut passing, mut failing) = (1, end);
    while failing - passing > 1 {
        let middle = passing.midpoint(failing);
        *if passes(middle) { &mut passing } else { &mut failing } = middle;
    }
    passing
}

fn unsupported<T>(refused: Result<T, CompileError>) -> String {
    let Err(CompileError::Unsupported(reason)) = refused else { panic!("not refused as it should be") };
    reason
}

#[test]
fn a_description_states_sizes_up_to_a_limit_each() {
    let honest = model("SmolLM2-135M");
    type Size = fn(&mut Shape) -> &mut usize;
    let limits: [(&str, usize, Size); 8] = [
        ("layers", 128, |shape| &mut shape.layers),
        ("hidden", 16_384, |shape| &mut shape.hidden),
        ("intermediate", 65_536, |shape| &mut shape.intermediate),
        ("kv_heads", 256, |shape| &mut shape.kv_heads),
        ("group", 256, |shape| &mut shape.group),
        ("head_dim", 1024, |shape| &mut shape.head_dim),
        ("vocabulary", 1_048_576, |shape| &mut shape.vocabulary),
        ("positions", 8192, |shape| &mut shape.positions),
    ];
    for (name, limit, size) in limits {
        let with = |value| {
            let mut shape = honest.shape;
            *size(&mut shape) = value;
            validate_description(&with_shape(&honest, shape))
        };
        assert_eq!(with(limit), Ok(()), "{name}");
        let reason = unsupported(with(limit + 1));
        assert_eq!(reason, format!("{name} = {}; the limits are 1 to {limit}", limit + 1));
    }
    let stated =
        "128 layers, 16,384 wide and 65,536 inside, 256 key heads of 256 query heads, 1,024 wide, 1,048,576 tokens";
    assert!(README.contains(&format!("| sizes of a model | {stated} |")));
}

#[test]
fn a_quantised_model_has_1024_positions_at_most() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["model.safetensors", "tokenizer.json", "config.json"] {
        fs::copy(fixture("llama31").join(file), folder.path().join(file)).unwrap();
    }
    let path = folder.path().join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["max_position_embeddings"] = 4096.into();
    fs::write(path, config.to_string()).unwrap();
    let description = quantized(folder.path(), None).description;
    assert_eq!(description.shape.positions, 1024);
    assert!(compile(&description, &[inference(1024)]).is_ok());
    let reason = unsupported(compile(&description, &[inference(1025)]));
    assert_eq!(reason, "1025 positions; the model has 1024");
    assert!(README.contains("| positions of an inference | 1,024 |"));
}

#[test]
fn a_proof_is_of_1000_inferences_at_most() {
    let description = model("SmolLM2-135M");
    let compiled = |count| compile(&description, &vec![inference(1); count]);
    assert!(Plan::new(&compiled(1000).unwrap()).is_ok());
    assert_eq!(unsupported(compiled(1001)), "1001 inferences in one proof; the limits are 1 to 1000");
    assert!(README.contains("| inferences in one proof | 1,000 |"));
}

#[test]
fn a_relation_has_as_many_lookups_as_the_field_counts_at_most() {
    let honest = model("SmolLM2-135M");
    let with = |entries: usize, intermediate| {
        let description = with_shape(&honest, Shape { intermediate, ..honest.shape });
        compile(&description, &vec![inference(1024); entries])
    };
    let widest = largest(1 << 16, |intermediate| with(2, intermediate).is_ok());
    let inside = with(2, widest).unwrap();
    let most = inside.tables.iter().zip(0..).map(|(_, table)| inside.lookups_of(TableId(table))).max().unwrap();
    assert!((2_147_000_000..2_147_483_647).contains(&most), "{most}");
    assert!(security(&Plan::new(&inside).unwrap()).unwrap().bits() >= 100.0);
    let reason = unsupported(with(2, widest + 1));
    assert!(reason.contains(" lookups in table `") && reason.ends_with("; the field counts 2147483646"), "{reason}");
    assert!(README.contains("| lookups in one relation | 2,147,483,646 |"));
}

#[test]
fn a_proof_has_more_lookups_than_the_field_counts() {
    let statement = compile(&model("Llama-3.2-1B"), &[inference(1024)]).unwrap();
    assert!(lookups(&statement) > 2 * 2_147_483_647, "{}", lookups(&statement));
    assert!(security(&Plan::new(&statement).unwrap()).unwrap().bits() >= 100.0);
    let statement = compile(&model("Qwen3-14B"), &[inference(1024)]).unwrap();
    assert!(statement.tables.iter().any(|table| table.name.ends_with(", copy 2")));
}

#[test]
fn a_commitment_has_34_billion_cells_at_most() {
    let honest = model("Qwen3-14B");
    let with = |intermediate| {
        let description = with_shape(&honest, Shape { layers: 64, intermediate, ..honest.shape });
        compile(&description, &[inference(1)]).unwrap()
    };
    let widest = largest(1 << 16, |intermediate| Plan::new(&with(intermediate)).is_ok());
    let [inside, outside] = [widest, widest + 1].map(with);
    assert!(((31 << 30)..=1 << 35).contains(&cells(&inside, Role::Weight)), "{}", cells(&inside, Role::Weight));
    assert!(security(&Plan::new(&inside).unwrap()).unwrap().bits() >= 100.0);
    let reason = unsupported(Plan::new(&outside).map(drop));
    assert!(reason.starts_with("an opening of 2^36 cells"), "{reason}");
    assert!(README.contains("| weights | 34,359,738,368, "));
}

#[test]
fn published_models_can_be_proven_at_all_their_positions_with_the_memory_that_the_readme_says() {
    let mut missing = String::new();
    for (name, description) in models() {
        let memory = [128, 1024].map(|positions| {
            let statement = compile(&description, &[inference(positions)]).unwrap();
            let [weights, witness] = [Role::Weight, Role::Witness].map(|role| cells(&statement, role));
            let bits = security(&Plan::new(&statement).unwrap()).unwrap().bits();
            println!(
                "{name:14} {positions:5} positions {:12} lookups {weights:12} weights {witness:12} cells  {bits:.2} bits",
                lookups(&statement)
            );
            assert!(bits >= 100.0, "{name} at {positions} positions");
            estimate(&statement).unwrap().memory_bytes.div_ceil(1 << 30)
        });
        let [short, long] = memory;
        let row = format!("| {name} | {short} GiB | {long} GiB |");
        if !README.contains(&row) {
            missing += &format!("{row}\n");
        }
    }
    assert!(missing.is_empty(), "the README lacks\n{missing}");
}

#[test]
fn a_statement_has_so_many_tiles_as_no_model_needs() {
    for (name, model) in models() {
        let statement = compile(&model, &[inference(45)]).unwrap();
        let committed: usize = Role::ALL.iter().map(|&role| Layout::new(&statement, role).unwrap().tiles.len()).sum();
        let lookups = blocks(&statement).len() - statement.tables.len();
        assert_eq!(statement.tile_count(), (committed + lookups) as u64, "{name}");
        assert!(4 * statement.tile_count() <= 1 << 13, "{name} has {} tiles", statement.tile_count());
    }
    let model = model("SmolLM2-135M");
    let shape =
        Shape { layers: 3, kv_heads: 255, group: 255, head_dim: 1022, hidden: 3, intermediate: 3, ..model.shape };
    let inferences = vec![inference(3); 3];
    assert!(unsupported(compile(&with_shape(&model, shape), &inferences)).contains("tiles, more than 8192"));
}
