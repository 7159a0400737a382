//! Partitions: the 256 parts of a store. Ids carry theirs, so that a store can be spread over several servers later
//! without asking where a record is. A [`Layout`] assigns them to cells.

use std::num::NonZeroU8;

use crate::base62;
use crate::digest::Digest;
use crate::time::Version;

/// Characters of a partition in an id.
const DIGITS: usize = 2;

/// One of 256 parts of a store. In text it is two base 62 digits, `00` to `47`.
///
/// A key belongs to the partition of its first value, an account to a random one, and whatever belongs to an account or
/// is an event of a record to theirs. Ids of earlier versions all say `00`: a key with such an id belongs to the
/// partition of its current value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Partition(u8);

impl Partition {
    /// Number of partitions.
    pub const COUNT: usize = 256;

    /// Returns the partition of a value: the last byte of its digest, which is uniformly distributed.
    pub fn of_digest(digest: &Digest) -> Self {
        Self::of_hash(digest.as_bytes())
    }

    /// Returns the partition that an id carries. An id of another form belongs to the first one.
    pub fn of_id(id: &str) -> Self {
        let rest = id.split_once('_').map_or(id, |(_, rest)| rest);
        let number = rest.get(..DIGITS).and_then(base62::parse_number);
        Self(number.and_then(|number| u8::try_from(number).ok()).unwrap_or_default())
    }

    /// Returns a random partition.
    pub fn generate(rng: &mut impl rand::CryptoRng) -> Self {
        let mut byte = [0];
        rng.fill_bytes(&mut byte);
        Self(byte[0])
    }

    /// Returns the group that contains this partition.
    pub fn group(self) -> PartitionGroup {
        PartitionGroup(self.0 % PartitionGroup::COUNT)
    }

    pub(crate) fn of_hash(hash: &[u8; 32]) -> Self {
        Self(hash[31])
    }

    pub(crate) fn push_to(self, text: &mut String) {
        base62::push_number(text, u64::from(self.0), DIGITS as u32);
    }
}

/// One of four groups of partitions, which no [`Layout`] of two or four cells divides. Usage of a project's keys is stored
/// by group, so that the servers of a cluster can share that of a large project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionGroup(u8);

impl PartitionGroup {
    /// Number of groups. Each adds to the cost of small reports and flushes.
    pub const COUNT: u8 = 4;

    /// Returns all groups.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..Self::COUNT).map(Self)
    }

    /// Returns the group with a number below [`PartitionGroup::COUNT`].
    pub fn new(number: u8) -> Option<Self> {
        (number < Self::COUNT).then_some(Self(number))
    }

    /// Returns the number.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Part of a store that one server holds: the partitions that a [`Layout`] assigns to it. Positions of different cells
/// cannot be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cell(u8);

impl Cell {
    /// The cell that every layout has.
    pub const FIRST: Self = Self(0);

    /// Returns the index of the cell, from 0.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Assignment of partitions to cells. A program has one cell today.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    cells: NonZeroU8,
}

impl Layout {
    /// One cell with all partitions.
    pub const SINGLE: Self = Self { cells: NonZeroU8::MIN };

    /// Spreads the partitions over `cells` cells.
    pub fn new(cells: NonZeroU8) -> Self {
        Self { cells }
    }

    /// Returns all cells, in the order of their indexes.
    pub fn cells(self) -> impl ExactSizeIterator<Item = Cell> {
        (0..self.cells.get()).map(Cell)
    }

    /// Returns the cell that holds a partition.
    pub fn cell(self, partition: Partition) -> Cell {
        Cell(partition.0 % self.cells)
    }
}

/// Position of a change: its version in the stream of its cell. Positions of different cells have no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// Cell whose stream has the change.
    pub cell: Cell,
    /// Version that the change gave its records.
    pub version: Version,
}

impl Position {
    /// Returns whether a reader of `cell` that has read up to `cursor` has seen the change; `None` if the change is in
    /// another cell.
    pub fn is_reached_by(self, cell: Cell, cursor: Version) -> Option<bool> {
        (self.cell == cell).then_some(self.version <= cursor)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_partition_is_read_back_from_an_id() {
        for number in 0..=u8::MAX {
            let mut bytes = [0; 32];
            bytes[31] = number;
            let partition = Partition::of_digest(&Digest::from_bytes(bytes));
            let mut id = "key_".to_owned();
            partition.push_to(&mut id);
            assert_eq!(id.len(), 6, "{id}");
            assert_eq!(Partition::of_id(&format!("{id}0123456789abcdefghijkl")), partition);
            assert_eq!(partition, Partition(number));
        }
    }

    #[test]
    fn partitions_of_a_group_are_in_one_cell() {
        for cells in [1, 2, 4] {
            let layout = Layout::new(NonZeroU8::new(cells).unwrap());
            for group in PartitionGroup::all() {
                let members = (0..=u8::MAX).map(Partition).filter(|partition| partition.group() == group);
                let cells: HashSet<Cell> = members.map(|partition| layout.cell(partition)).collect();
                assert_eq!(cells.len(), 1, "{group:?}");
            }
        }
        assert_eq!(PartitionGroup::new(PartitionGroup::COUNT), None);
        assert_eq!(PartitionGroup::all().map(PartitionGroup::number).collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_layout_spreads_the_partitions_evenly() {
        for (cells, sizes) in [(1, vec![256]), (2, vec![128, 128]), (3, vec![86, 85, 85])] {
            let layout = Layout::new(NonZeroU8::new(cells).unwrap());
            let held = |cell: Cell| (0..=u8::MAX).filter(|number| layout.cell(Partition(*number)) == cell).count();
            assert_eq!(layout.cells().map(held).collect::<Vec<_>>(), sizes);
        }
        assert_eq!(Layout::SINGLE.cells().map(Cell::index).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn a_position_is_reached_in_its_own_cell_only() {
        let position = Position { cell: Cell(1), version: Version::from_u64(7) };
        for (cell, cursor, expected) in [(1, 6, Some(false)), (1, 7, Some(true)), (1, 8, Some(true)), (0, 8, None)] {
            assert_eq!(position.is_reached_by(Cell(cell), Version::from_u64(cursor)), expected, "{cell} {cursor}");
        }
    }

    #[test]
    fn ids_of_another_form_belong_to_the_first_partition() {
        for id in ["", "key_", "key_0", "key_48rest", "key_zz", "key_é0", "00"] {
            assert_eq!(Partition::of_id(id), Partition(0), "{id}");
        }
    }
}
