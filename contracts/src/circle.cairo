//! The points of the code's domain and their coordinates (docs/opening.md, section 5).
use super::field::{M, Point, base_mul_call, double_x_call, negated, point_mul_call};

/// A point of order 2^31.
const GENERATOR: Point = Point { x: 311014874, y: 1584694829 };
const IDENTITY: Point = Point { x: 1, y: 0 };

/// What bits of a position contribute, four at a time.
#[derive(Copy, Drop)]
pub struct Domain {
    /// The point of position 0.
    first: Point,
    /// Sixteen points for every four bits, the lowest four first.
    windows: Span<Point>,
}

fn doubled(point: Point, times: u32) -> Point {
    let mut point = point;
    let mut left = times;
    while left != 0 {
        point = point_mul_call(point, point);
        left -= 1;
    }
    point
}

/// The domain of `2^log_rows` rows. Position `j` holds the point `(2 k + 1) g^(2^(30 - log_rows))`, where `k` is `j >> 1` with its
/// `log_rows` bits reversed: so bit `b` of `j >> 1` contributes `g^(2^(30 - b))`, whatever `log_rows` is.
pub fn domain(log_rows: u32) -> Domain {
    let first = doubled(GENERATOR, 30 - log_rows);
    // Of order 2, 4, 8 and so on: found from the last one on.
    let mut orders = array![];
    let mut point = doubled(GENERATOR, 30 - (log_rows + 3));
    let mut left = log_rows + 4;
    while left != 0 {
        orders.append(point);
        point = point_mul_call(point, point);
        left -= 1;
    }
    let mut orders = orders.span();
    let mut windows: Array<Point> = array![];
    let mut bits = 0;
    while bits < log_rows {
        let mut window = array![IDENTITY];
        let mut bit: u32 = 0;
        while bit != 4 {
            let own = *orders.pop_back().unwrap();
            let mut before = window.span();
            while let Option::Some(entry) = before.pop_front() {
                window.append(point_mul_call(*entry, own));
            }
            bit += 1;
        }
        windows.append_span(window.span());
        bits += 4;
    }
    Domain { first, windows: windows.span() }
}

/// The point of a position.
pub fn at(domain: Domain, position: u32) -> Point {
    let (half, odd) = DivRem::div_rem(position, 2);
    let mut rest = half;
    let mut point = domain.first;
    let mut window = 0;
    while rest != 0 {
        let (above, digit) = DivRem::div_rem(rest, 16);
        point = point_mul_call(point, *domain.windows.at(window + digit));
        rest = above;
        window += 16;
    }
    if odd == 1 {
        point = Point { x: point.x, y: negated(point.y) };
    }
    point
}

/// The products of the coordinates `x_(m-1), .., x_1, y` of a point at which an index has a one, for every index below `2^m`.
pub fn monomials(point: Point, variables: u32) -> Span<M> {
    let mut table: Array<M> = array![1];
    if variables == 0 {
        return table.span();
    }
    let mut coordinates = array![];
    let mut x = point.x;
    let mut left = variables - 1;
    while left != 0 {
        coordinates.append(x);
        x = double_x_call(x);
        left -= 1;
    }
    let mut coordinates = coordinates.span();
    while let Option::Some(coordinate) = coordinates.pop_back() {
        table = grown(table.span(), *coordinate);
    }
    grown(table.span(), point.y).span()
}

fn grown(table: Span<M>, coordinate: M) -> Array<M> {
    let mut before = table;
    let mut after = array![];
    while let Option::Some(value) = before.pop_front() {
        after.append(*value);
        after.append(base_mul_call(*value, coordinate));
    }
    after
}
