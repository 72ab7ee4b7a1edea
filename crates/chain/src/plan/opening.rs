//! What all claims about a commitment say at the end of its opening, as a program: the other side of `Stack::weight`.

use obelysk_statement::whir::Stack;

use super::claims::Group;
use super::point::{Coordinate, place};
use super::program::{ONE, Place, Program};

/// Write the weight of the claims over a tape that holds the inputs, then `alpha` and the challenges of the folds. The last place is it.
#[must_use]
pub fn write(stack: &Stack, groups: &[Group], inputs: u32) -> Program {
    let alpha = Place(inputs);
    let folds = Place(inputs + 1);
    let mut program = Program::new(inputs + 1 + stack.variables as u32);
    let count = groups.iter().map(|group| group.tiles.len()).sum();
    let mut power = program.powers(alpha, count);
    let column = Place(folds.0 + stack.fold as u32);
    let mut terms = Vec::new();
    for group in groups {
        let missing = stack.fold.saturating_sub(group.point.len());
        let (own, rest) = group.point.split_at(stack.fold - missing);
        let head = [vec![Coordinate::Bit(false); missing], own.to_vec()].concat();
        let address = stack.column_variables() - rest.len();
        let point = program.eq_along(ONE, &head, folds);
        let point = program.eq_along(point, rest, Place(column.0 + address as u32));
        let selectors: Vec<Place> = group
            .tiles
            .iter()
            .map(|&tile| {
                let stacked = stack.tiles[tile];
                program.selector(ONE, column, address, stacked.offset >> stacked.column_arity)
            })
            .collect();
        let selected = program.weighed(power, &selectors);
        power = Place(power.0 + selectors.len() as u32);
        terms.push((point, selected));
    }
    let weight = program.dot(&terms);
    program.leave(weight);
    program
}

impl Program {
    /// `whole` times `eq` of a point and a run: run by run of what lies side by side.
    fn eq_along(&mut self, mut whole: Place, point: &[Coordinate], run: Place) -> Place {
        let continues = |before: &Coordinate, next: &Coordinate| match (before, next) {
            (Coordinate::Value(before), Coordinate::Value(next)) => before.0 + 1 == next.0,
            _ => before == next,
        };
        let mut from = run;
        for piece in point.chunk_by(continues) {
            let eq = self.equal(place(piece[0]), from, piece.len());
            whole = self.multiply(whole, eq);
            from = Place(from.0 + piece.len() as u32);
        }
        whole
    }
}
