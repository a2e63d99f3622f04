//! Isolation Forest (Liu, Ting and Zhou 2008): few random cuts set a strange row apart.
//!
//! Each tree cuts a random part of the sample at random places until rows stand alone or the tree is as deep as
//! a balanced one. A cut that leaves `m` of `n` rows on the side of the row tells `log2(n / m)` bits of it,
//! where an even cut tells one. What all cuts on the way tell beyond one bit each adds up to
//! `log2(sample) - (depth + log2(rows left))`: by how much the path is shorter than that of a balanced tree.
//! A row beyond all of the sample in the channel that is cut is alone at once (the range check of Liu, Ting and Zhou
//! 2010), or one odd channel of many, however far out, would look like the outermost row of the sample.
//! So the bits are an exact division of the forest's verdict by the channels that were cut.

use super::MAX_Z;
use super::named::Model;
use super::state::{JointStateError, Reader, Writer};
use crate::math::{dither, log10};

/// Trees.
pub(crate) const TREES: usize = 48;
/// Rows that a tree is grown on; a power of two.
pub(crate) const SUBSAMPLE: usize = 64;
const DEPTH: usize = SUBSAMPLE.ilog2() as usize;
const NODES: usize = 2 * SUBSAMPLE - 1;
/// Channels that are tried for a cut before a node stays whole.
const TRIES: u64 = 8;
/// By how much of a channel's range a row must be beyond it to be alone.
const SPARE: f32 = 0.1;
/// Bits that being beyond all rows tells more than being alone among them.
const ALONE: f32 = 1.0;
/// No cut.
const LEAF: u16 = u16::MAX;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Node {
    /// The channel that is cut, or [`LEAF`].
    channel: u16,
    /// Rows that came here, at growth.
    rows: u16,
    at: f32,
}

impl Node {
    const NONE: Self = Self { channel: LEAF, rows: 1, at: 0.0 };
}

/// Trees, one after another, each a heap: the sides of node `i` are `2 i + 1` and `2 i + 2`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forest {
    nodes: Vec<Node>,
    /// Where the rows of the whole sample end, of each channel: beyond, a row is alone.
    ends: Vec<(f32, f32)>,
    /// What the cuts of each channel usually tell of a row.
    usual: Vec<f32>,
    /// `log2(n)` for each number of rows.
    bits: Vec<f32>,
}

/// `log2(n)` of up to [`SUBSAMPLE`] rows.
fn bits() -> Vec<f32> {
    (0..=SUBSAMPLE).map(|n| log10(n.max(1) as f32) / std::f32::consts::LOG10_2).collect()
}

/// Random numbers, one after another.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(1);
        dither(self.0)
    }

    fn below(&mut self, n: usize) -> usize {
        ((self.next() * n as f32) as usize).min(n - 1)
    }
}

fn grow(nodes: &mut [Node], rows: &[f32], d: usize, mine: &mut [u16], at: usize, chance: &mut Chance) {
    nodes[at] = Node { rows: mine.len() as u16, ..Node::NONE };
    if mine.len() < 2 || 2 * at + 2 >= nodes.len() {
        return;
    }
    let value = |row: u16, c: usize| rows[usize::from(row) * d + c];
    for _ in 0..TRIES {
        let c = chance.below(d);
        let ends = mine.iter().map(|row| value(*row, c)).fold((f32::MAX, f32::MIN), |(low, high), x| {
            if x.is_nan() { (low, high) } else { (low.min(x), high.max(x)) }
        });
        let cut = ends.0 + (ends.1 - ends.0) * (0.001 + 0.998 * chance.next());
        if !(ends.0 < cut && cut <= ends.1) {
            continue;
        }
        // Rows of which the channel is not known go with its middle, which is 0.
        let is_low = |row: u16| {
            let value = value(row, c);
            if value.is_nan() { cut > 0.0 } else { value < cut }
        };
        let mut low = 0;
        for i in 0..mine.len() {
            if is_low(mine[i]) {
                mine.swap(i, low);
                low += 1;
            }
        }
        (nodes[at].channel, nodes[at].at) = (c as u16, cut);
        let (left, right) = mine.split_at_mut(low);
        grow(nodes, rows, d, left, 2 * at + 1, chance);
        grow(nodes, rows, d, right, 2 * at + 2, chance);
        return;
    }
}

impl Model for Forest {
    const SQUARE: bool = false;

    fn fit(rows: &[f32], d: usize, seed: u64) -> Option<Self> {
        let count = rows.len() / d;
        let mut nodes = vec![Node::NONE; TREES * NODES];
        let mut chance = Chance(seed);
        let mut order: Vec<u16> = (0..count as u16).collect();
        let subsample = SUBSAMPLE.min(count);
        for tree in nodes.chunks_exact_mut(NODES) {
            for i in 0..subsample {
                let other = i + chance.below(count - i);
                order.swap(i, other);
            }
            grow(tree, rows, d, &mut order[..subsample], 0, &mut chance);
        }
        let ends = |c: usize| {
            let known = rows.iter().skip(c).step_by(d).filter(|x| !x.is_nan());
            let (low, high) = known.fold((MAX_Z, -MAX_Z), |(low, high), x| (x.min(low), x.max(high)));
            let spare = SPARE * (high - low).max(0.0);
            (low - spare, high + spare)
        };
        let mut forest = Self { nodes, ends: (0..d).map(ends).collect(), usual: vec![0.0; d], bits: bits() };
        let mut told = vec![0.0; d];
        rows.chunks_exact(d).for_each(|row| forest.additions(row, &mut told));
        forest.usual = told.iter().map(|told| told / count as f32).collect();
        Some(forest)
    }

    fn additions(&self, z: &[f32], out: &mut [f32]) {
        for ((out, usual), _) in out.iter_mut().zip(&self.usual).zip(z).filter(|(_, x)| !x.is_nan()) {
            *out -= usual;
        }
        for tree in self.nodes.chunks_exact(NODES) {
            let mut at = 0;
            for _ in 0..DEPTH {
                let node = &tree[at];
                if node.channel == LEAF {
                    break;
                }
                let x = z[usize::from(node.channel)];
                let (low, high) = (2 * at + 1, 2 * at + 2);
                if x.is_nan() {
                    // Nothing is known of it: it goes with the most, and tells nothing.
                    at = if tree[low].rows >= tree[high].rows { low } else { high };
                    continue;
                }
                let (least, most) = self.ends[usize::from(node.channel)];
                if x < least || x > most {
                    // This cut leaves it alone: the rest of the way is saved.
                    out[usize::from(node.channel)] += (self.bits[usize::from(node.rows)] + ALONE) / TREES as f32;
                    break;
                }
                at = if x < node.at { low } else { high };
                let told = self.bits[usize::from(node.rows)] - self.bits[usize::from(tree[at].rows)];
                out[usize::from(node.channel)] += (told - 1.0) / TREES as f32;
            }
        }
    }

    fn write(&self, w: &mut Writer<'_>) {
        self.ends.iter().for_each(|(low, high)| w.slice(&[*low, *high]));
        w.slice(&self.usual);
        for node in &self.nodes {
            w.bytes(&node.channel.to_le_bytes());
            w.bytes(&node.rows.to_le_bytes());
            w.f32(node.at);
        }
    }

    fn read(r: &mut Reader<'_>, d: usize) -> Result<Self, JointStateError> {
        let ends = r.slice("trees", 2 * d)?.chunks_exact(2).map(|ends| (ends[0], ends[1])).collect();
        let usual = r.slice("trees", d)?;
        let mut nodes = Vec::with_capacity(TREES * NODES);
        for i in 0..TREES * NODES {
            let (channel, rows, at) = (r.u16()?, r.u16()?, r.within("trees", f32::MIN, f32::MAX)?);
            let whole = channel == LEAF;
            if !(whole || (usize::from(channel) < d && 2 * (i % NODES) + 2 < NODES)) || usize::from(rows) > SUBSAMPLE {
                return Err(JointStateError::Damaged("trees"));
            }
            nodes.push(Node { channel, rows, at });
        }
        Ok(Self { nodes, ends, usual, bits: bits() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of three channels that fill a box.
    fn rows(count: u64) -> Vec<f32> {
        (0..3 * count).map(|i| dither(i) - 0.5).collect()
    }

    #[test]
    fn what_the_cuts_tell_adds_up_to_the_shorter_path_and_names_the_channel() {
        let forest = Forest::fit(&rows(200), 3, 7).expect("fitted");
        let mut odd = [0.0; 3];
        forest.additions(&[0.1, 3.0, -0.2], &mut odd);
        let mut usual = [0.0; 3];
        forest.additions(&[0.1, 0.1, -0.2], &mut usual);
        assert!(odd.iter().sum::<f32>() > usual.iter().sum::<f32>() + 0.5, "{odd:?} {usual:?}");
        assert!(odd[1] > odd[0] && odd[1] > odd[2], "{odd:?}");
        // By hand, for the first tree.
        let one = Forest {
            nodes: forest.nodes[..NODES].to_vec(),
            ends: vec![(-9.0, 9.0); 3],
            usual: vec![0.0; 3],
            bits: bits(),
        };
        let (mut told, mut at, mut depth) = ([0.0; 3], 0, 0);
        one.additions(&[0.1, 3.0, -0.2], &mut told);
        while one.nodes[at].channel != LEAF {
            let node = one.nodes[at];
            at = 2 * at + if [0.1, 3.0, -0.2][usize::from(node.channel)] < node.at { 1 } else { 2 };
            depth += 1;
        }
        let shorter = DEPTH as f32 - depth as f32 - f32::from(one.nodes[at].rows).log2();
        assert!((told.iter().sum::<f32>() * TREES as f32 - shorter).abs() < 1e-4);
    }

    #[test]
    fn the_same_seed_grows_the_same_forest() {
        assert!(Forest::fit(&rows(150), 3, 1) == Forest::fit(&rows(150), 3, 1));
        assert!(Forest::fit(&rows(150), 3, 1) != Forest::fit(&rows(150), 3, 2));
    }
}
