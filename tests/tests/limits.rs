//! The limits that the README states: what is just inside of each compiles, what is just outside is refused by its name.

use obelysk_statement::layout::Role;
use obelysk_statement::plan::Plan;
use obelysk_statement::transcript::{sample, sample_many, start};
use obelysk_statement::{CompileError, SecurityReport, batch, compile};
use obelysk_tests::published::{inference, models};

/// The accounting of a proof that is not made: of the points that claims are about, only the number counts.
fn security(plan: &Plan) -> Result<SecurityReport, CompileError> {
    let statement = plan.statement;
    let mut transcript = start(&[], statement, &[0; 32]);
    let mut claims = plan.claims();
    let value = sample(&mut transcript);
    let leaf = sample_many(&mut transcript, plan.log_leaves());
    claims.lookup(&plan.blocks, [value; 2], &leaf, [value; 2]);
    let points = plan.draw_points(&mut transcript);
    claims.linear_relations(&points);
    for products in &plan.products {
        let end = sample_many(&mut transcript, batch::variables(statement, &products.axes()));
        claims.products(products, value, &points, value, &end, value);
    }
    for zerocheck in &plan.zerochecks {
        let end = sample_many(&mut transcript, batch::variables(statement, &zerocheck.axes));
        claims.zerocheck(zerocheck, value, &points, &end, value);
    }
    let [weights, witness] = [Role::Weight, Role::Witness].map(|role| plan.openings(&claims, role));
    plan.security(weights.as_ref(), witness.as_ref())
}

#[test]
fn the_sizes_of_published_models_are_printed() {
    for (name, description) in models() {
        for positions in [16, 128, 512, 1024] {
            match compile(&description, &[inference(positions)]) {
                Err(error) => println!("{name} {positions}: {error}"),
                Ok(statement) => {
                    let lookups: u64 =
                        obelysk_statement::lookup::blocks(&statement).iter().map(|block| 1u64 << block.log_size).sum();
                    let cells = [Role::Weight, Role::Witness].map(|role| {
                        let layout = obelysk_statement::layout::Layout::new(&statement, role).unwrap();
                        (layout.tiles.iter().map(|tile| 1u64 << tile.arity()).sum::<u64>(), layout.variables(6))
                    });
                    let security = Plan::new(&statement).and_then(|plan| security(&plan)).map(|report| report.bits());
                    println!("{name} {positions}: {lookups} lookups, {cells:?} cells, {security:?}");
                }
            }
        }
    }
}
