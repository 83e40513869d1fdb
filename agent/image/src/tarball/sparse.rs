//! Sparse files: which pieces of a file an archive stores.

use std::io::BufRead;

use super::header::{self, Block};
use super::reader::{TarError, read_block};

/// More pieces than that are no honest file.
const MAX_PIECES: usize = 1 << 20;

pub(super) type Map = Vec<(u64, u64)>;

/// Old GNU format: four pieces in the header, more in blocks that follow. Returns the map and the real size.
pub(super) fn old_gnu(block: &Block, reader: &mut impl BufRead) -> Result<(Map, u64), TarError> {
    let size = header::unsigned(&block[483..495], "sparse size")?;
    let mut map = Vec::new();
    pieces(&block[386..482], &mut map)?;
    let mut more = block[482] != 0;
    while more {
        let mut extension: Block = [0; super::BLOCK];
        read_block(reader, &mut extension)?;
        pieces(&extension[..504], &mut map)?;
        more = extension[504] != 0;
    }
    Ok((map, size))
}

fn pieces(field: &[u8], map: &mut Map) -> Result<(), TarError> {
    for piece in field.chunks_exact(24) {
        if piece[0] == 0 || map.len() >= MAX_PIECES {
            break;
        }
        map.push((header::unsigned(&piece[..12], "sparse offset")?, header::unsigned(&piece[12..], "sparse length")?));
    }
    Ok(())
}

/// PAX formats 0.0 and 0.1: a flat list of offsets and lengths.
pub(super) fn pairs(list: &[u64]) -> Result<Map, TarError> {
    if !list.len().is_multiple_of(2) || list.len() / 2 > MAX_PIECES {
        return Err(TarError::Sparse);
    }
    Ok(list.chunks_exact(2).map(|p| (p[0], p[1])).collect())
}

/// PAX format 1.0: the map is text at the start of the data, padded to a block. Returns the map and the bytes it took.
pub(super) fn in_data(reader: &mut impl BufRead, stored: u64) -> Result<(Map, u64), TarError> {
    let mut used = 0u64;
    let mut numbers: Vec<u64> = Vec::new();
    let mut wanted: Option<usize> = None;
    let mut current: Option<u64> = None;
    let mut block: Block = [0; super::BLOCK];
    loop {
        if wanted == Some(numbers.len()) {
            return Ok((pairs(&numbers)?, used));
        }
        if used >= stored {
            return Err(TarError::Sparse);
        }
        read_block(reader, &mut block)?;
        used += super::BLOCK as u64;
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let value =
                        current.unwrap_or(0).checked_mul(10).and_then(|v| v.checked_add(u64::from(byte - b'0')));
                    current = Some(value.ok_or(TarError::Sparse)?);
                }
                b'\n' => {
                    let value = current.take().ok_or(TarError::Sparse)?;
                    match wanted {
                        None if value as usize > MAX_PIECES => return Err(TarError::Sparse),
                        None => wanted = Some(value as usize * 2),
                        Some(_) => numbers.push(value),
                    }
                    if wanted == Some(numbers.len()) {
                        break;
                    }
                }
                _ => return Err(TarError::Sparse),
            }
        }
    }
}

/// Pieces must ascend without overlap, lie inside the file, and be exactly what is stored.
pub(super) fn check(map: &Map, size: u64, stored: u64) -> Result<(), TarError> {
    let (mut end, mut sum) = (0u64, 0u64);
    for (offset, length) in map {
        if *offset < end {
            return Err(TarError::Sparse);
        }
        end = offset.checked_add(*length).filter(|e| *e <= size).ok_or(TarError::Sparse)?;
        sum += length;
    }
    if sum != stored {
        return Err(TarError::Sparse);
    }
    Ok(())
}
