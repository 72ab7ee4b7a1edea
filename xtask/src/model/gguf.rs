//! GGUF files, read from memory: metadata and where every tensor lies. No length of the file is trusted.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::encoding::Encoding;

/// Boundary that tensors are aligned to unless the file names another.
const ALIGNMENT: u64 = 32;
/// More dimensions than any format has.
const DIMENSIONS_MAX: u32 = 4;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    List(Vec<Value>),
}

/// A tensor, as the file stores it.
pub struct Tensor<'a> {
    pub name: String,
    /// Rows first: the reverse of the file's own order.
    pub shape: Vec<usize>,
    pub encoding: Encoding,
    pub data: &'a [u8],
}

/// A file's content.
pub struct Gguf<'a> {
    metadata: BTreeMap<String, Value>,
    pub tensors: Vec<Tensor<'a>>,
}

impl<'a> Gguf<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { bytes, place: 0 };
        ensure!(reader.take(4)? == b"GGUF", "it does not begin with `GGUF`");
        let version = reader.u32()?;
        ensure!(version == 3, "it is of version {version}; version 3 can be read");
        let (tensor_count, entry_count) = (reader.u64()?, reader.u64()?);
        let mut metadata = BTreeMap::new();
        for _ in 0..entry_count {
            let key = reader.text()?;
            let kind = reader.u32()?;
            let value = reader.value(kind).with_context(|| format!("metadata `{key}`"))?;
            metadata.insert(key, value);
        }
        let mut headers = Vec::new();
        for _ in 0..tensor_count {
            headers.push(reader.tensor_header()?);
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(Value::Integer(own)) if *own > 0 => u64::try_from(*own)?,
            Some(other) => bail!("`general.alignment` is {other:?}"),
        };
        let start = (reader.place as u64).checked_next_multiple_of(alignment).context("the alignment is too large")?;
        let locate = |(name, shape, encoding, offset): Header| {
            let data = slice(bytes, start, offset, &shape, encoding)
                .with_context(|| format!("tensor `{name}` of shape {shape:?} at {offset} leaves the file"))?;
            Ok(Tensor { name, shape, encoding, data })
        };
        let tensors = headers.into_iter().map(locate).collect::<Result<_>>()?;
        Ok(Self { metadata, tensors })
    }

    fn get(&self, key: &str) -> Result<&Value> {
        self.metadata.get(key).with_context(|| format!("the metadata has no `{key}`"))
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        match self.get(key)? {
            Value::Text(text) => Ok(text),
            other => bail!("`{key}` is {other:?}, not text"),
        }
    }

    pub fn integer(&self, key: &str) -> Result<usize> {
        match self.get(key)? {
            Value::Integer(number) => usize::try_from(*number).with_context(|| format!("`{key}` is {number}")),
            other => bail!("`{key}` is {other:?}, not an integer"),
        }
    }

    pub fn float(&self, key: &str) -> Result<f64> {
        match self.get(key)? {
            Value::Float(number) => Ok(*number),
            other => bail!("`{key}` is {other:?}, not a float"),
        }
    }

    pub fn texts(&self, key: &str) -> Result<Vec<&str>> {
        self.list(key)?
            .iter()
            .map(|value| match value {
                Value::Text(text) => Ok(text.as_str()),
                other => bail!("`{key}` holds {other:?}, which is no text"),
            })
            .collect()
    }

    pub fn integers(&self, key: &str) -> Result<Vec<i128>> {
        self.list(key)?
            .iter()
            .map(|value| match value {
                Value::Integer(number) => Ok(*number),
                other => bail!("`{key}` holds {other:?}, which is no integer"),
            })
            .collect()
    }

    fn list(&self, key: &str) -> Result<&[Value]> {
        match self.get(key)? {
            Value::List(values) => Ok(values),
            other => bail!("`{key}` is {other:?}, not a list"),
        }
    }
}

type Header = (String, Vec<usize>, Encoding, u64);

fn slice<'a>(bytes: &'a [u8], start: u64, offset: u64, shape: &[usize], encoding: Encoding) -> Option<&'a [u8]> {
    let values = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent))?;
    let length = encoding.bytes(values)?;
    let begin = usize::try_from(start.checked_add(offset)?).ok()?;
    bytes.get(begin..begin.checked_add(length)?)
}

struct Reader<'a> {
    bytes: &'a [u8],
    place: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.place.checked_add(length).filter(|&end| end <= self.bytes.len());
        let end = end.with_context(|| format!("it ends within {length} bytes at {}", self.place))?;
        let taken = &self.bytes[self.place..end];
        self.place = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn text(&mut self) -> Result<String> {
        let length = usize::try_from(self.u64()?)?;
        Ok(String::from_utf8(self.take(length)?.to_vec())?)
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        if kind != LIST {
            return self.scalar(kind);
        }
        let (kind, length) = (self.u32()?, self.u64()?);
        let mut values = Vec::new();
        for _ in 0..length {
            values.push(self.scalar(kind)?);
        }
        Ok(Value::List(values))
    }

    fn scalar(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            // The decimal that was meant: 1e-5, and not the nearest f32 in the digits of a f64.
            6 => Value::Float(f32::from_le_bytes(self.array()?).to_string().parse()?),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text()?),
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            other => bail!("values of type {other} cannot be read"),
        })
    }

    fn tensor_header(&mut self) -> Result<Header> {
        let name = self.text()?;
        let dimensions = self.u32()?;
        ensure!(dimensions <= DIMENSIONS_MAX, "tensor `{name}` has {dimensions} dimensions");
        let mut shape = Vec::new();
        for _ in 0..dimensions {
            shape.push(usize::try_from(self.u64()?)?);
        }
        shape.reverse();
        let encoding = Encoding::of_number(self.u32()?).with_context(|| format!("tensor `{name}`"))?;
        Ok((name, shape, encoding, self.u64()?))
    }
}

/// The type of a list of values.
const LIST: u32 = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
    }

    /// One entry `rate` = 1e-5, one list `tokens`, one tensor of two rows of three floats.
    fn file() -> Vec<u8> {
        let mut bytes = [b"GGUF".as_slice(), &3u32.to_le_bytes(), &1u64.to_le_bytes(), &2u64.to_le_bytes()].concat();
        bytes.extend([text("rate"), 6u32.to_le_bytes().into(), 1e-5f32.to_le_bytes().into()].concat());
        bytes.extend([text("tokens"), 9u32.to_le_bytes().into(), 8u32.to_le_bytes().into()].concat());
        bytes.extend([2u64.to_le_bytes().into(), text("a"), text("b")].concat());
        bytes.extend([text("matrix"), 2u32.to_le_bytes().into()].concat());
        bytes.extend([3u64, 2].iter().flat_map(|extent| extent.to_le_bytes()));
        bytes.extend([0u32.to_le_bytes().to_vec(), 0u64.to_le_bytes().into()].concat());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend((0..6u8).flat_map(|value| f32::from(value).to_le_bytes()));
        bytes
    }

    #[test]
    fn metadata_and_tensors_are_read_rows_first() {
        let bytes = file();
        let parsed = Gguf::parse(&bytes).unwrap();
        assert_eq!(parsed.float("rate").unwrap(), 1e-5, "not 9.999999747378752e-6");
        assert_eq!(parsed.texts("tokens").unwrap(), ["a", "b"]);
        assert!(parsed.text("rate").is_err() && parsed.integer("none").is_err());
        let matrix = &parsed.tensors[0];
        assert_eq!((matrix.name.as_str(), matrix.shape.as_slice()), ("matrix", &[2, 3][..]));
        assert_eq!(matrix.encoding.decode(matrix.data), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    }

    #[test]
    fn every_cut_and_every_changed_byte_is_read_or_refused() {
        let bytes = file();
        for length in 0..bytes.len() {
            assert!(Gguf::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        for place in 0..bytes.len() {
            for change in [1, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[place] ^= change;
                let _ = Gguf::parse(&changed);
            }
        }
    }
}
