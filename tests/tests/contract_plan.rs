//! A contract's plan says what the verifier computes: every equation and every weight, at random challenges.

use obelysk_chain::plan::ContractPlan;
use obelysk_statement::axis::AxisId;
use obelysk_statement::batch::{challenged_axes, variables};
use obelysk_statement::plan::Plan;
use obelysk_statement::point::{AxisPoints, Coordinate};
use obelysk_statement::reduction::{Equation, Grouped};
use obelysk_statement::{Challenge, Statement};
use obelysk_tests::mlp::Mlp;
use obelysk_tests::random::Random;
use obelysk_tests::small::Small;
use obelysk_tests::subject::{Subject, fixture, tiny_chat};
use obelysk_tests::tape;
use p3_field::PrimeCharacteristicRing;

/// What is on the tape before the claimed values, as it is drawn.
struct Drawn(Random, Vec<Challenge>);

impl Drawn {
    fn draw(&mut self, count: usize) -> Vec<Challenge> {
        let own = self.0.challenges(count);
        self.1.extend_from_slice(&own);
        own
    }

    fn one(&mut self) -> Challenge {
        self.draw(1)[0]
    }
}

/// The program of a statement and the verifier's own reduction agree.
fn agrees(statement: &Statement) -> ContractPlan {
    let plan = Plan::new(statement).expect("a plan");
    let contract = ContractPlan::new(statement).expect("a plan for a contract");
    let mut drawn = Drawn(Random::new(7), Vec::new());
    let mut claims = plan.claims();
    let mut equations: Vec<Equation> = Vec::new();
    let mut rights: Vec<Challenge> = Vec::new();
    if !plan.blocks.is_empty() {
        let keys = [drawn.one(), drawn.one()];
        let point = drawn.draw(plan.log_leaves());
        equations.extend(claims.lookup(&plan.blocks, keys, &point));
        rights.extend(drawn.draw(2));
    }
    let axes: Vec<AxisId> = challenged_axes(statement).into_iter().collect();
    let mut points = AxisPoints::new();
    for axis in axes {
        let own = drawn.draw(statement.axis(axis).bits());
        points.insert(axis, own.into_iter().map(Coordinate::Value).collect());
    }
    let lambda = drawn.one();
    let linear = claims.linear_relations(&points);
    rights.extend(linear.iter().map(|_| Challenge::ZERO));
    equations.extend(linear);
    for batch in &plan.products {
        let sum = drawn.one();
        let end = drawn.draw(variables(statement, &batch.axes()));
        equations.extend(claims.products(batch, lambda, &points, &end));
        rights.extend([sum, drawn.one()]);
    }
    for batch in &plan.zerochecks {
        let end = drawn.draw(variables(statement, &batch.axes));
        equations.push(claims.zerocheck(batch, lambda, &points, &end));
        rights.push(drawn.one());
    }
    let Drawn(mut random, inputs) = drawn;

    let public = statement.public_inputs();
    let mut grouped: Vec<Grouped> = Vec::new();
    let mut values = Vec::new();
    let mut tape = tape::tape(&inputs);
    for commitment in 0..plan.commitments.len() {
        let sent = random.challenges(claims.count(commitment));
        assert_eq!(contract.shape.openings[commitment].claims, sent.len());
        let mut own = claims.grouped(commitment);
        values.push(own.fill(&sent));
        grouped.push(own);
        tape.extend(sent);
    }
    let pairs = tape::run(&contract.equations, &mut tape, &public);
    assert_eq!(pairs.len(), equations.len());
    for ((pair, equation), right) in pairs.iter().zip(&equations).zip(rights) {
        assert_eq!(*pair, [equation.value(&values), right], "{}", equation.name);
    }
    for ((committed, grouped), program) in plan.commitments.iter().zip(&grouped).zip(&contract.openings) {
        let alpha = random.challenges(1)[0];
        let point = random.challenges(committed.opening.variables());
        let mut tape = tape::tape(&inputs);
        tape.push(alpha);
        tape.extend(&point);
        assert!(tape::run(program, &mut tape, &public).is_empty());
        assert_eq!(tape.last(), Some(&committed.opening.stack.weight(&grouped.groups, alpha, &point)));
    }
    contract
}

fn entries(plan: &ContractPlan) -> usize {
    plan.parts().map(<[u16]>::len).sum()
}

#[test]
fn a_plan_says_what_the_verifier_computes_of_small_statements() {
    agrees(&Small::new().statement);
    let mlp = Mlp { layers: 3, width: 20 };
    let weights = mlp.weights();
    let (output, _) = mlp.forward(&weights, &mlp.input());
    agrees(&mlp.statement(&mlp.input(), &output));
}

#[test]
fn a_plan_says_what_the_verifier_computes_of_models() {
    let plan = agrees(&Subject::new(&tiny_chat(), &[&[5, 6, 7, 8, 9]], 3).statement);
    println!("tiny-chat: {} entries, {:?}", entries(&plan), plan.parts().map(<[u16]>::len).collect::<Vec<_>>());
    // Windows and caps, several inferences, biases.
    for (name, prompts) in [("gemma2", &[&[5u32, 6][..]][..]), ("qwen3", &[&[5, 6], &[7]]), ("phi3", &[&[5, 6]])] {
        let mut subject = Subject::new(&fixture(name), prompts, 2);
        if name == "gemma2" {
            subject.narrow_windows(2);
        }
        let plan = agrees(&subject.statement);
        println!("{name}: {} entries", entries(&plan));
    }
}

#[test]
fn a_plan_is_a_constant_of_model_and_shape() {
    let of = |prompt: &[u32]| Subject::new(&tiny_chat(), &[prompt], 2).statement;
    let [one, other, longer] = [&[5u32, 6, 7][..], &[9, 8, 7], &[5, 6, 7, 8]].map(of);
    let digest = |statement: &Statement| ContractPlan::new(statement).expect("a plan").digest();
    assert_eq!(digest(&one), digest(&other));
    assert_ne!(digest(&one), digest(&longer));
    assert_ne!(one.public_inputs(), other.public_inputs());
}
