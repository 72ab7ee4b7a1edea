//! Columns of lookup tables that a rule gives, at a point.

use obelysk_statement::TableRows;

use super::program::{ONE, Place, Program, ZERO};

impl Program {
    /// A column that a rule gives, at a run of coordinates.
    pub fn column(&mut self, rows: &TableRows, column: usize, first: Place, bits: usize) -> Place {
        match rows {
            TableRows::Clamp { low, high, .. } if column > 0 => {
                let [low, high] = [*low, *high].map(i64::from);
                let rows_below = |end: i64| (end - rows.first()).clamp(0, 1 << bits) as usize;
                let [below, inside] = [low, high + 1].map(|end| self.sums_below(rows_below(end), first, bits));
                let [start, low, high, minus, less_high] =
                    [rows.first(), low, high, -1, -high].map(|value| self.constant(value));
                let minus_start = self.constant(-rows.first());
                self.dot(&[
                    (below[0], low),
                    (ONE, inside[1]),
                    (inside[0], start),
                    (minus, below[1]),
                    (below[0], minus_start),
                    (ONE, high),
                    (inside[0], less_high),
                ])
            }
            _ => {
                let counted = self.count(first, bits);
                let start = self.constant(rows.first());
                self.add(counted, start)
            }
        }
    }

    /// The sum of `eq(point, i)`, and of `i eq(point, i)`, over all `i` below `end`.
    fn sums_below(&mut self, end: usize, first: Place, bits: usize) -> [Place; 2] {
        if bits == 0 {
            return [if end > 0 { ONE } else { ZERO }, ZERO];
        }
        let half = 1usize << (bits - 1);
        let rest = Place(first.0 + 1);
        let [zero, one] = [false, true].map(|bit| self.split(ONE, first, bit));
        if end <= half {
            return self.sums_below(end, rest, bits - 1).map(|sum| self.multiply(zero, sum));
        }
        let [ones, numbers] = self.sums_below(end - half, rest, bits - 1);
        let counted = self.count(rest, bits - 1);
        let offset = self.constant(half as i64);
        let above = self.dot(&[(ones, offset), (ONE, numbers)]);
        [self.dot(&[(ONE, zero), (one, ones)]), self.dot(&[(zero, counted), (one, above)])]
    }
}
