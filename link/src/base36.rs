//! Digits and lower-case letters, as Swarm's tokens have them.

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A number of big-endian bytes in base 36, with zeros before it up to `width`.
pub(crate) fn encode(bytes: &[u8], width: usize) -> String {
    let mut number = bytes.to_vec();
    let mut digits = Vec::with_capacity(width);
    while number.iter().any(|byte| *byte != 0) {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = u8::try_from(value / 36).expect("the rest is below 36, so the quotient is below 256");
            rest = value % 36;
        }
        digits.push(DIGITS[rest as usize]);
    }
    while digits.len() < width {
        digits.push(b'0');
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

pub(crate) fn is(text: &str, width: usize) -> bool {
    text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase())
}

/// A secret of 128 random bits, as 25 characters.
pub fn secret() -> String {
    encode(&random::<16>(), 25)
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        // getrandom(2) with no flags fails only when interrupted before the pool is ready.
        if let Ok(read) = rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty()) {
            filled += read;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_with_leading_zeros() {
        assert_eq!(encode(&[0, 35], 3), "00z");
        assert_eq!(encode(&[1, 0], 3), "074");
        // The largest numbers fill their widths.
        assert_eq!(encode(&[255; 32], 50).len(), 50);
        assert_eq!(encode(&[255; 16], 25).len(), 25);
        assert!(is(&secret(), 25));
    }
}
