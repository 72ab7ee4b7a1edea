//! Safetensors checkpoints, single or sharded, read tensor by tensor so that memory holds one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use serde::Deserialize;
use zerocopy::IntoBytes;

use crate::error::ModelError;

/// Longest header that is read; those of the largest published shards are below 1 MB.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Entries that are read at once.
const READ_AT_ONCE: usize = 1 << 16;
/// Entries that are compared at once.
const COMPARED_AT_ONCE: usize = 1 << 20;
const SINGLE: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// The tensors of a model's folder.
#[derive(Debug)]
pub struct Checkpoint {
    tensors: BTreeMap<String, Place>,
    shards: Vec<PathBuf>,
}

/// Where a tensor lies.
#[derive(Clone, Debug)]
struct Place {
    shard: usize,
    dtype: Dtype,
    shape: Vec<usize>,
    offset: u64,
}

/// `model.safetensors.index.json`: which shard holds which tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Index {
    /// Read it as far as it is about needed tensors; `None` if there is none.
    fn read(path: &Path, is_needed: impl Fn(&str) -> bool) -> Result<Option<Self>, ModelError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ModelError::io(path, error)),
        };
        let mut index: Self =
            serde_json::from_slice(&text).map_err(|error| ModelError::corrupt(path, error.to_string()))?;
        index.weight_map.retain(|tensor, _| is_needed(tensor));
        Ok(Some(index))
    }

    /// Names of the shards, each once.
    fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

impl Checkpoint {
    /// Read the headers of a folder's weights: of one file, or of the shards that the index names. The one file wins over an
    /// index whose shards are gone.
    ///
    /// # Errors
    /// [`ModelError::Missing`] for a shard that is not there, [`ModelError::Corrupt`] for one that is truncated or lacks a
    /// tensor that the index promises, and for shards beside a file with other values.
    pub fn open(folder: &Path) -> Result<Self, ModelError> {
        Self::open_where(folder, |_| true)
    }

    /// As [`Checkpoint::open`], of the shards that hold some of the `needed` tensors; others may be absent.
    ///
    /// # Errors
    /// As there.
    pub fn open_tensors(folder: &Path, needed: &BTreeSet<String>) -> Result<Self, ModelError> {
        Self::open_where(folder, |tensor| needed.contains(tensor))
    }

    fn open_where(folder: &Path, is_needed: impl Fn(&str) -> bool) -> Result<Self, ModelError> {
        let whole = folder.join(SINGLE);
        let index_path = folder.join(INDEX);
        let Some(index) = Index::read(&index_path, is_needed)? else { return Self::of_files(vec![whole]) };
        let shards = index.shards();
        if shards.is_empty() {
            return Err(ModelError::corrupt(&index_path, "its weight_map is empty"));
        }
        if let Some(name) = shards.iter().find(|name| Path::new(name).file_name().is_none_or(|file| file != **name)) {
            return Err(ModelError::corrupt(&index_path, format!("shard name `{name}` leaves the folder")));
        }
        let shards: Vec<PathBuf> = shards.into_iter().map(|name| folder.join(name)).collect();
        let has_both = whole.is_file() && !shards.contains(&whole);
        // An index of shards that are gone is left from before the weights became one file.
        if has_both && !shards.iter().all(|shard| shard.is_file()) {
            return Self::of_files(vec![whole]);
        }
        let sharded = Self::of_files(shards)?;
        for (tensor, shard) in &index.weight_map {
            let shard = folder.join(shard);
            if sharded.file_of(tensor) != Some(&shard) {
                return Err(ModelError::corrupt(&shard, format!("it lacks tensor `{tensor}`")));
            }
        }
        if !has_both {
            return Ok(sharded);
        }
        let single = Self::of_files(vec![whole.clone()])?;
        for tensor in index.weight_map.keys() {
            if !single.holds_same(tensor, &sharded, tensor)? {
                let shard = sharded.file_of(tensor).unwrap_or(&index_path).display();
                let reason = format!(
                    "tensor `{tensor}` is another in {shard}, and both are the model's weights: remove {SINGLE}, or the shards \
                     and {INDEX}"
                );
                return Err(ModelError::corrupt(&whole, reason));
            }
        }
        Ok(single)
    }

    fn of_files(paths: Vec<PathBuf>) -> Result<Self, ModelError> {
        let mut checkpoint = Self { tensors: BTreeMap::new(), shards: Vec::new() };
        paths.into_iter().try_for_each(|path| checkpoint.add_shard(path))?;
        Ok(checkpoint)
    }

    /// Whether a tensor has the shape and the values of another, whatever data types hold them.
    ///
    /// # Errors
    /// What reading them reports.
    pub fn holds_same(&self, name: &str, other: &Self, other_name: &str) -> Result<bool, ModelError> {
        let shape = self.shape(name);
        if shape.is_none() || shape != other.shape(other_name) {
            return Ok(false);
        }
        let elements: usize = shape.into_iter().flatten().product();
        for start in (0..elements).step_by(COMPARED_AT_ONCE) {
            let range = start..elements.min(start + COMPARED_AT_ONCE);
            if self.elements(name, range.clone())? != other.elements(other_name, range)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn add_shard(&mut self, path: PathBuf) -> Result<(), ModelError> {
        let mut file = File::open(&path).map_err(|error| ModelError::io(&path, error))?;
        let length = file.metadata().map_err(|error| ModelError::io(&path, error))?.len();
        let mut size = [0; 8];
        if length < 8 {
            return Err(ModelError::corrupt(&path, format!("{length} bytes, no safetensors header")));
        }
        file.read_exact(&mut size).map_err(|error| ModelError::io(&path, error))?;
        let size = u64::from_le_bytes(size);
        if size > HEADER_BYTES_MAX || size > length - 8 {
            return Err(ModelError::corrupt(&path, format!("truncated: a header of {size} bytes in {length} bytes")));
        }
        let mut header = vec![0; usize::try_from(size).expect("bounded")];
        file.read_exact(&mut header).map_err(|error| ModelError::io(&path, error))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| ModelError::corrupt(&path, error.to_string()))?;
        let shard = self.shards.len();
        let data = length - 8 - size;
        for (name, info) in metadata.tensors() {
            let (start, end) = (info.data_offsets.0 as u64, info.data_offsets.1 as u64);
            if end > data {
                let reason = format!("truncated: tensor `{name}` ends at byte {end} of {data} that follow the header");
                return Err(ModelError::corrupt(&path, reason));
            }
            let elements = info.shape.iter().try_fold(1u64, |product, &size| product.checked_mul(size as u64));
            let bits = elements.and_then(|elements| elements.checked_mul(info.dtype.bitsize() as u64));
            if end.checked_sub(start).and_then(|bytes| bytes.checked_mul(8)) != bits {
                let reason = format!("tensor `{name}` of shape {:?} lies at bytes {start} to {end}", info.shape);
                return Err(ModelError::corrupt(&path, reason));
            }
            let offset = 8 + size + start;
            let place = Place { shard, dtype: info.dtype, shape: info.shape.clone(), offset };
            self.tensors.insert(name, place);
        }
        self.shards.push(path);
        Ok(())
    }

    /// Names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Files that hold the tensors.
    #[must_use]
    pub fn shards(&self) -> &[PathBuf] {
        &self.shards
    }

    /// Whether there is such a tensor.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// Shape of a tensor, `None` if there is none of that name.
    #[must_use]
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|place| place.shape.as_slice())
    }

    /// The file that holds a tensor, for messages.
    #[must_use]
    pub fn file_of(&self, name: &str) -> Option<&Path> {
        self.tensors.get(name).map(|place| self.shards[place.shard].as_path())
    }

    /// Read a tensor as 32-bit floats, last axis contiguous.
    ///
    /// # Errors
    /// [`ModelError::Corrupt`] for a missing tensor or a value that is not a finite number, [`ModelError::Unsupported`] for
    /// a data type other than F32, F16 and BF16.
    pub fn tensor(&self, name: &str) -> Result<Vec<f32>, ModelError> {
        let elements = self.place(name)?.shape.iter().product();
        self.elements(name, 0..elements)
    }

    /// Read some rows of a matrix as [`Checkpoint::tensor`] does.
    ///
    /// # Errors
    /// As there, and [`ModelError::Corrupt`] for a tensor that is not a matrix of `columns` columns with these rows.
    pub fn rows(&self, name: &str, columns: usize, rows: Range<usize>) -> Result<Vec<f32>, ModelError> {
        self.elements(name, self.range_of(name, columns, rows)?)
    }

    /// The elements of rows of a matrix.
    fn range_of(&self, name: &str, columns: usize, rows: Range<usize>) -> Result<Range<usize>, ModelError> {
        let place = self.place(name)?;
        match place.shape.as_slice() {
            &[height, width] if width == columns && rows.end <= height => Ok(rows.start * columns..rows.end * columns),
            shape => {
                let reason =
                    format!("tensor `{name}` has shape {shape:?}; rows {rows:?} of width {columns} are needed");
                Err(ModelError::corrupt(&self.shards[place.shard], reason))
            }
        }
    }

    fn place(&self, name: &str) -> Result<&Place, ModelError> {
        self.tensors.get(name).ok_or_else(|| {
            let path = self.shards.first().cloned().unwrap_or_default();
            ModelError::corrupt(&path, format!("it lacks tensor `{name}`"))
        })
    }

    fn elements(&self, name: &str, range: Range<usize>) -> Result<Vec<f32>, ModelError> {
        let place = self.place(name)?;
        let path = &self.shards[place.shard];
        let width = match place.dtype {
            Dtype::F32 => 4,
            Dtype::F16 | Dtype::BF16 => 2,
            other => {
                return Err(ModelError::Unsupported(format!(
                    "data type {other:?} of tensor `{name}` in {}; take the model's bf16, f16 or f32 weights",
                    path.display()
                )));
            }
        };
        let (mut file, _) = self.file_at(place, range.start)?;
        let mut values: Vec<f32> = Vec::with_capacity(range.len());
        // One buffer for all pieces: memory that is touched for the first time costs more than reading it.
        let mut buffer = vec![0; range.len().min(READ_AT_ONCE) * width];
        while values.len() < range.len() {
            let first = values.len();
            let bytes = &mut buffer[..(range.len() - first).min(READ_AT_ONCE) * width];
            file.read_exact(bytes).map_err(|error| ModelError::io(path, error))?;
            match place.dtype {
                Dtype::F32 => {
                    values.extend(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
                }
                Dtype::F16 => values.extend(bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32())),
                _ => values.extend(bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32())),
            }
            if let Some(place) = values[first..].iter().position(|value| !value.is_finite()) {
                return Err(no_number(path, name, range.start + first + place, values[first + place]));
            }
        }
        Ok(values)
    }

    /// Read rows of a matrix as they are stored.
    ///
    /// # Errors
    /// As [`Checkpoint::rows`].
    pub fn stored_rows(&self, name: &str, columns: usize, rows: Range<usize>) -> Result<Stored, ModelError> {
        let range = self.range_of(name, columns, rows)?;
        let place = self.place(name)?;
        if place.dtype != Dtype::BF16 {
            return self.elements(name, range).map(Stored::F32);
        }
        let mut bits = vec![0u16; range.len()];
        let (mut file, path) = self.file_at(place, range.start)?;
        file.read_exact(bits.as_mut_bytes()).map_err(|error| ModelError::io(path, error))?;
        // The file's order of bytes is that of most processors.
        bits.iter_mut().for_each(|bits| *bits = u16::from_le(*bits));
        let value = |bits: u16| bf16::from_bits(bits);
        // All of a piece before any of it: a compiler can vectorise that.
        let is_bad = |piece: &[u16]| piece.iter().fold(false, |bad, &bits| bad | !value(bits).is_finite());
        if bits.chunks(READ_AT_ONCE).any(is_bad)
            && let Some(place) = bits.iter().position(|&bits| !value(bits).is_finite())
        {
            return Err(no_number(path, name, range.start + place, value(bits[place]).to_f32()));
        }
        Ok(Stored::Bf16(bits))
    }

    /// The file that holds a tensor, at one of its elements.
    fn file_at(&self, place: &Place, element: usize) -> Result<(File, &Path), ModelError> {
        let path = self.shards[place.shard].as_path();
        let offset = place.offset + (element * place.dtype.bitsize() / 8) as u64;
        let mut file = File::open(path).map_err(|error| ModelError::io(path, error))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| ModelError::io(path, error))?;
        Ok((file, path))
    }
}

fn no_number(path: &Path, tensor: &str, place: usize, value: f32) -> ModelError {
    ModelError::corrupt(path, format!("tensor `{tensor}` holds {value} at {place}"))
}

/// Entries as they are stored: half as much memory where they have 16 bits.
#[derive(Clone, Debug, PartialEq)]
pub enum Stored {
    /// 32-bit floats, or what they were made of.
    F32(Vec<f32>),
    /// The bits of 16-bit floats with the exponent of 32-bit ones.
    Bf16(Vec<u16>),
}

impl Stored {
    /// Number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::F32(entries) => entries.len(),
            Self::Bf16(entries) => entries.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Some entries as 32-bit floats; `buffer` holds those that are not stored so.
    pub fn read<'a>(&'a self, range: Range<usize>, buffer: &'a mut Vec<f32>) -> &'a [f32] {
        match self {
            Self::F32(entries) => &entries[range],
            Self::Bf16(entries) => {
                buffer.clear();
                buffer.extend(entries[range].iter().map(|&bits| bf16::from_bits(bits).to_f32()));
                buffer
            }
        }
    }
}
