//! The circle transform of columns.

use cudarc::driver::DeviceRepr;
use obelysk_prover::DeviceError;
use obelysk_statement::Value;
use obelysk_statement::words::word;
use p3_circle::Point;

use crate::device::Buffer;
use crate::kernels::Kernels;
use crate::view::View;

/// Columns in a device's memory, one after the other.
pub struct Columns {
    pub(crate) words: Buffer<u32>,
    pub(crate) log_rows: usize,
}

/// The constants of transforms of one length: those of layer `l` from the word `2^l` on.
pub(crate) struct Transform {
    constants: Buffer<u32>,
    log_rows: usize,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct DevicePoint {
    x: u32,
    y: u32,
}

// SAFETY: plain words without padding, laid out as the kernels' structure is.
#[allow(unsafe_code)]
unsafe impl DeviceRepr for DevicePoint {}

impl From<Point<Value>> for DevicePoint {
    fn from(point: Point<Value>) -> Self {
        Self { x: word(point.x), y: word(point.y) }
    }
}

/// A part of columns: `2^arity` entries of every one, from the word `offset` of the first and of each further one on.
pub(crate) struct TilePart {
    pub(crate) arity: usize,
    pub(crate) offset: usize,
}

impl Columns {
    /// Columns of `2^log_rows` words.
    ///
    /// # Panics
    /// If the last one is not complete.
    #[must_use]
    pub fn new(words: Buffer<u32>, log_rows: usize) -> Self {
        assert!(words.len().is_multiple_of(1 << log_rows), "every column is complete");
        Self { words, log_rows }
    }

    pub(crate) fn width(&self) -> usize {
        self.words.len() >> self.log_rows
    }
}

impl Kernels {
    /// The transform to `2^log_rows` rows in the order of [`obelysk_statement::circle::CircleCode`], or to a part of them, of which there
    /// are `2^log_parts` one after the other: its constants are those of its own blocks. At least four rows are in a part.
    pub(crate) fn transform(&self, log_rows: usize, log_parts: usize, part: usize) -> Result<Transform, DeviceError> {
        assert!(log_rows > 1 + log_parts && part >> log_parts == 0, "the smallest part has more rows");
        let generator = Point::<Value>::generator(log_rows - 1);
        let bits = (0..log_rows - 1).rev().map(|step| generator * (1 << step));
        let (own, above): (Vec<_>, Vec<_>) = bits.enumerate().partition(|(bit, _)| *bit < log_rows - 1 - log_parts);
        let mut first = Point::<Value>::generator(log_rows + 1);
        for (place, (_, step)) in above.into_iter().enumerate() {
            if part >> place & 1 == 1 {
                first += step;
            }
        }
        let log_rows = log_rows - log_parts;
        let steps = [first].into_iter().chain(own.into_iter().map(|(_, step)| step)).map(DevicePoint::from);
        let steps: Vec<DevicePoint> = steps.collect();
        let steps = self.device.upload(&steps)?;
        let mut constants = self.device.allocate(1 << log_rows)?;
        let items = 1 << (log_rows - 1);
        let log_count = log_rows as u32;
        let mut arguments = self.launch(&self.circle_constants);
        arguments.arg(self.given(&steps)).arg(&log_count).arg(self.given_mut(&mut constants));
        // SAFETY: `circle_constants(const Point*, uint32_t, uint32_t*)` reads `log_rows` points and writes three quarters of `2^log_rows` words.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.circle_constants, items, &mut arguments)?;
        }
        for layer in (0..log_rows - 2).rev() {
            let count = 1u64 << layer;
            let mut arguments = self.launch(&self.double_points);
            arguments.arg(self.given_mut(&mut constants)).arg(&count);
            // SAFETY: `double_points(uint32_t*, uint64_t)` reads the layer behind that of `count` constants, which it writes.
            #[allow(unsafe_code)]
            unsafe {
                self.queue(&self.double_points, 1 << layer, &mut arguments)?;
            }
        }
        Ok(Transform { constants, log_rows })
    }

    /// Read a tile's part of all columns, of which the first is the tile's column `first`.
    pub(crate) fn read_columns(
        &self,
        view: &View,
        part: &TilePart,
        first: usize,
        width: usize,
        columns: &mut Columns,
    ) -> Result<(), DeviceError> {
        let end = part.offset + ((width - 1) << columns.log_rows) + (1 << part.arity);
        assert!(end <= columns.words.len(), "the part lies in the columns");
        let (arity, first, offset) = (part.arity as u32, first as u64, part.offset as u64);
        let (log_rows, count) = (columns.log_rows as u32, width as u64);
        let mut arguments = self.launch(&self.read_columns);
        arguments.arg(view).arg(&arity).arg(&first).arg(&count).arg(&offset).arg(&log_rows);
        arguments.arg(self.given_mut(&mut columns.words));
        // SAFETY: `read_columns(View, uint32_t, uint64_t, uint64_t, uint64_t, uint32_t, uint32_t*)` reads entries of the view, whose indices all
        // lead to one, and writes the part of `width` columns.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.read_columns, width << part.arity, &mut arguments)
        }
    }

    /// Encode columns that begin with messages of `2^variables` words.
    pub(crate) fn encode(
        &self,
        transform: &Transform,
        columns: &mut Columns,
        variables: usize,
    ) -> Result<(), DeviceError> {
        assert_eq!(transform.log_rows, columns.log_rows, "the constants are those of this length");
        let (width, log_rows, repeated) =
            (columns.width() as u64, columns.log_rows as u32, columns.log_rows - variables);
        let items = columns.words.len();
        let copies = repeated as u32;
        let mut arguments = self.launch(&self.repeat_columns);
        arguments.arg(self.given_mut(&mut columns.words)).arg(&width).arg(&log_rows).arg(&copies);
        // SAFETY: `repeat_columns(uint32_t*, uint64_t, uint32_t, uint32_t)` touches the words of `width` columns.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.repeat_columns, items, &mut arguments)?;
        }
        for layer in repeated as u32..log_rows {
            let mut arguments = self.launch(&self.transform_layer);
            arguments.arg(self.given_mut(&mut columns.words)).arg(&width).arg(&log_rows).arg(&layer);
            arguments.arg(self.given(&transform.constants));
            // SAFETY: `transform_layer(uint32_t*, uint64_t, uint32_t, uint32_t, const uint32_t*)` touches the words of `width` columns and reads
            // the constants of the layer.
            #[allow(unsafe_code)]
            unsafe {
                self.queue(&self.transform_layer, items / 2, &mut arguments)?;
            }
        }
        Ok(())
    }

    /// Copy rows of columns into rows of `row_words` words, from the word `first` of each on.
    pub(crate) fn pick_rows(
        &self,
        columns: &Columns,
        positions: &Buffer<u64>,
        rows: &mut Buffer<u32>,
        row_words: usize,
        first: usize,
    ) -> Result<(), DeviceError> {
        let (width, count) = (columns.width(), positions.len());
        assert!(first + width <= row_words && rows.len() == count * row_words, "every row has its place");
        let items = width * count;
        let (width, log_rows, count) = (width as u64, columns.log_rows as u32, count as u64);
        let (row_words, first) = (row_words as u64, first as u64);
        let mut arguments = self.launch(&self.pick_rows);
        arguments.arg(self.given(&columns.words)).arg(&width).arg(&log_rows).arg(self.given(positions)).arg(&count);
        arguments.arg(self.given_mut(rows)).arg(&row_words).arg(&first);
        // SAFETY: `pick_rows(const uint32_t*, uint64_t, uint32_t, const uint64_t*, uint64_t, uint32_t*, uint64_t, uint64_t)` reads `width` columns
        // at positions below their length, which the caller has checked, and writes `width` words of each row.
        #[allow(unsafe_code)]
        unsafe {
            self.queue(&self.pick_rows, items, &mut arguments)
        }
    }
}
