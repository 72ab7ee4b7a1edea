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

use crate::error::ModelError;

/// Longest header that is read; those of the largest published shards are below 1 MB.
const HEADER_BYTES_MAX: u64 = 64 << 20;
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
        let place = self.place(name)?;
        match place.shape.as_slice() {
            &[height, width] if width == columns && rows.end <= height => {}
            shape => {
                let reason =
                    format!("tensor `{name}` has shape {shape:?}; rows {rows:?} of width {columns} are needed");
                return Err(ModelError::corrupt(&self.shards[place.shard], reason));
            }
        }
        self.elements(name, rows.start * columns..rows.end * columns)
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
        let mut file = File::open(path).map_err(|error| ModelError::io(path, error))?;
        let offset = place.offset + (range.start * width) as u64;
        file.seek(SeekFrom::Start(offset)).map_err(|error| ModelError::io(path, error))?;
        let mut bytes = vec![0; range.len() * width];
        file.read_exact(&mut bytes).map_err(|error| ModelError::io(path, error))?;
        let values: Vec<f32> = match place.dtype {
            Dtype::F32 => bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F16 => bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
            _ => bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
        };
        match values.iter().position(|value| !value.is_finite()) {
            Some(element) => {
                let at = range.start + element;
                Err(ModelError::corrupt(path, format!("tensor `{name}` holds {} at {at}", values[element])))
            }
            None => Ok(values),
        }
    }
}
