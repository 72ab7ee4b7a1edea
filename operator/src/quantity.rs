//! Quantities of memory, such as `80Gi`.

/// Bytes of a quantity with a binary or decimal suffix; `None` for anything else.
#[must_use]
pub fn bytes(text: &str) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let scale = match suffix {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    number.parse::<f64>().ok().map(|number| (number * scale) as u64)
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn suffixes_scale() {
        assert_eq!(bytes("80Gi"), Some(80 << 30));
        assert_eq!(bytes("1.5Ki"), Some(1536));
        assert_eq!(bytes("2G"), Some(2_000_000_000));
        assert_eq!(bytes("many"), None);
    }
}
