//! Numbers as bits: exponential Golomb codes, which take few bits for small numbers of one size, and no limit for others.

/// Bits that are written one after the other, the highest of a byte first.
#[derive(Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are free in the last byte.
    free: u32,
}

/// Reads what a [`BitWriter`] has written.
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits that have been read.
    position: usize,
}

/// Returns the bits that [`BitWriter::write`] needs for a number below 2^62.
pub(super) fn length(number: u64, order: u32) -> u32 {
    let digits = ((number >> order) + 1).ilog2();
    2 * digits + 1 + order
}

impl BitWriter {
    /// Writes a number below 2^62. A code of order `k` is shortest for numbers of `k` bits.
    pub(super) fn write(&mut self, number: u64, order: u32) {
        let high = (number >> order) + 1;
        let digits = high.ilog2();
        self.write_bits(0, digits);
        self.write_bits(high, digits + 1);
        self.write_bits(number & ((1 << order) - 1), order);
    }

    /// Writes the lowest `count` bits of a number.
    pub(super) fn write_bits(&mut self, number: u64, count: u32) {
        for position in (0..count).rev() {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = u8::BITS;
            }
            self.free -= 1;
            let bit = u8::from(number >> position & 1 == 1);
            *self.bytes.last_mut().expect("a byte was pushed") |= bit << self.free;
        }
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Reads a number; `None` if there is no code of one.
    pub(super) fn read(&mut self, order: u32) -> Option<u64> {
        let mut digits = 0;
        while self.read_bits(1)? == 0 {
            digits += 1;
        }
        let limit = u64::BITS.checked_sub(order + 2)?;
        let high = (digits <= limit).then(|| self.read_bits(digits))?? | 1 << digits;
        Some((high - 1) << order | self.read_bits(order)?)
    }

    /// Reads a number of `count` bits.
    pub(super) fn read_bits(&mut self, count: u32) -> Option<u64> {
        let mut number = 0;
        for _ in 0..count {
            let byte = self.bytes.get(self.position / 8)?;
            number = number << 1 | u64::from(byte >> (7 - self.position % 8) & 1);
            self.position += 1;
        }
        Some(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_were_written() {
        let numbers = [0, 1, 2, 3, 7, 8, 99, 1000, 65_535, 1 << 40, (1 << 61) + 12_345];
        for order in [0, 1, 5, 16, 40] {
            let mut writer = BitWriter::default();
            numbers.iter().for_each(|number| writer.write(*number, order));
            let bytes = writer.into_bytes();
            let bits: u32 = numbers.iter().map(|number| length(*number, order)).sum();
            assert_eq!(bytes.len(), bits.div_ceil(8) as usize);
            let mut reader = BitReader::new(&bytes);
            assert_eq!(numbers.map(|_| reader.read(order).unwrap()), numbers);
        }
    }

    #[test]
    fn bits_that_end_early_or_name_too_large_a_number_are_no_number() {
        assert_eq!(BitReader::new(&[]).read(0), None);
        assert_eq!(BitReader::new(&[0; 30]).read(0), None);
        let too_large = [&[0; 8][..], &[1; 30]].concat();
        assert_eq!(BitReader::new(&too_large).read(3), None);
        assert_eq!(BitReader::new(&[0b0001_0000]).read(4), None);
    }
}
