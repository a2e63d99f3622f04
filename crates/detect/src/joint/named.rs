//! Models that are known by name, fitted to a [`Reservoir`] of the host's past: Isolation Forest, robust
//! principal components, k-means, broken correlations.
//!
//! Each gives one number a tick, made of exact additions of the channels, and is brought to the common scale
//! as all heads are: in units of what was usual in its sample, then by the tail of the host's own past.

use super::correlation::Correlations;
use super::forest::Forest;
use super::inputs::Inputs;
use super::kmeans::Centres;
use super::level::QUARANTINE_S;
use super::method::{Method, Methods};
use super::pca::Components;
use super::reservoir::Reservoir;
use super::state::{JointStateError, Reader, Writer};
use super::tail::Tail;

/// A tick this improbable, powers of ten, to any model is odd to all.
const ODD_DECADES: f32 = 2.0;

/// A model that is fitted to rows and judges a row.
pub(crate) trait Model: Sized {
    /// Whether what it adds up is a square, of which the root is taken.
    const SQUARE: bool;

    /// Fits it to `rows` of `d` channels each, NaN where not known; `None` where they do not suffice.
    fn fit(rows: &[f32], d: usize, seed: u64) -> Option<Self>;

    /// Which part of it the row `z` lets it see, 0..=1, where `usable` channels are usually there.
    fn seen(&self, z: &[f32], usable: usize) -> f32 {
        let known = z.iter().filter(|x| !x.is_nan()).count();
        (known as f32 / usable.max(1) as f32).min(1.0)
    }

    /// What each channel of the row `z` adds to its strangeness: to the mean of what is seen.
    fn additions(&self, z: &[f32], out: &mut [f32]);

    fn write(&self, w: &mut Writer<'_>);

    fn read(r: &mut Reader<'_>, d: usize) -> Result<Self, JointStateError>;
}

/// A model, and what it usually says.
#[derive(Debug, Clone, PartialEq)]
struct Rated<M> {
    model: Option<M>,
    /// Taken off, and one unit.
    usual: (f32, f32),
    tail: Tail,
}

impl<M: Model> Rated<M> {
    const NEW: Self = Self { model: None, usual: (0.0, 1.0), tail: Tail::NEW };

    fn strangeness(model: &M, z: &[f32]) -> f32 {
        let mut out = vec![0.0; z.len()];
        model.additions(z, &mut out);
        let sum: f32 = out.iter().sum();
        if M::SQUARE { sum.max(0.0).sqrt() } else { sum }
    }

    /// How strange the row `z` is beside the usual. What is not seen counts as usual: the mean of a few channels or
    /// pairs is far from it more often than that of all, and the past that it is measured by saw all.
    fn ratio(&self, model: &M, z: &[f32], usable: usize) -> Option<f32> {
        let seen = Some(model.seen(z, usable)).filter(|seen| *seen > 0.0)?;
        let now = Self::strangeness(model, z);
        let (taken, unit) = self.usual;
        let now = if M::SQUARE {
            (seen * now * now + (1.0 - seen) * unit * unit).sqrt()
        } else {
            taken + seen * (now - taken)
        };
        Some(((now - taken) / unit).max(0.0))
    }

    /// Powers of ten of the row `z`, which is learned then.
    fn tick(&mut self, z: &[f32], usable: usize) -> f32 {
        let Some(ratio) = self.model.as_ref().and_then(|model| self.ratio(model, z, usable)) else { return f32::NAN };
        let decades = self.tail.decades(ratio, 0.0);
        self.tail.learn(ratio, 0.0);
        decades
    }

    fn fit(&mut self, rows: &[f32], d: usize, seed: u64) {
        let Some(model) = M::fit(rows, d, seed) else { return };
        let mut all: Vec<f32> = rows.chunks_exact(d).map(|row| Self::strangeness(&model, row)).collect();
        all.sort_unstable_by(f32::total_cmp);
        let at = |share: f32| all[((all.len() - 1) as f32 * share) as usize];
        self.usual = if M::SQUARE { (0.0, at(0.5)) } else { (at(0.5), at(0.9) - at(0.5)) };
        self.usual.1 = self.usual.1.max(1e-3);
        self.model = Some(model);
    }

    fn contributions(&self, z: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; z.len()];
        if let Some(model) = &self.model {
            model.additions(z, &mut out);
        }
        out
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.u32(u32::from(self.model.is_some()));
        if let Some(model) = &self.model {
            model.write(w);
        }
        w.slice(&[self.usual.0, self.usual.1]);
        self.tail.write(w);
    }

    fn read(r: &mut Reader<'_>, d: usize) -> Result<Self, JointStateError> {
        let model = if r.count("models", 1)? > 0 { Some(M::read(r, d)?) } else { None };
        let usual = (r.within("usual", f32::MIN, f32::MAX)?, r.within("usual", 1e-3, f32::MAX)?);
        Ok(Self { model, usual, tail: Tail::read(r)? })
    }
}

/// The named models of a host that were asked for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Named {
    reservoir: Reservoir,
    forest: Option<Rated<Forest>>,
    components: Option<Rated<Components>>,
    centres: Option<Rated<Centres>>,
    correlations: Option<Rated<Correlations>>,
    /// Odd ticks less the others, seconds.
    odd_s: f32,
}

impl Named {
    /// Those of `methods`; `None` where there is none.
    pub(crate) fn new(methods: Methods) -> Option<Self> {
        let named = Self {
            reservoir: Reservoir::new(),
            forest: methods.has(Method::IsolationForest).then_some(Rated::NEW),
            components: methods.has(Method::RobustPca).then_some(Rated::NEW),
            centres: methods.has(Method::Kmeans).then_some(Rated::NEW),
            correlations: methods.has(Method::CorrelationBreak).then_some(Rated::NEW),
            odd_s: 0.0,
        };
        Method::NAMED.iter().any(|method| methods.has(*method)).then_some(named)
    }

    pub(crate) fn grow(&mut self, count: usize) {
        self.reservoir.grow(count);
    }

    /// How much it tells of the last tick that no correlation is broken, 0..=1.
    pub(crate) fn tested(&self) -> f32 {
        let model = self.correlations.as_ref().and_then(|rated| rated.model.as_ref());
        model.map_or(0.0, |model| model.tested(&self.reservoir.moves()))
    }

    /// Powers of ten of each model at this tick, which is learned then; NaN where there is none.
    pub(crate) fn tick(&mut self, inputs: &Inputs, cadence_s: f32) -> [f32; 4] {
        self.reservoir.follow(inputs);
        let (z, usable) = (&self.reservoir.z, self.reservoir.usable());
        let decades = [
            self.forest.as_mut().map_or(f32::NAN, |it| it.tick(z, usable)),
            self.components.as_mut().map_or(f32::NAN, |it| it.tick(z, usable)),
            self.centres.as_mut().map_or(f32::NAN, |it| it.tick(z, usable)),
            self.correlations.as_mut().map_or(f32::NAN, |it| it.tick(z, usable)),
        ];
        let odd = decades.iter().any(|x| *x > ODD_DECADES);
        self.odd_s = (self.odd_s + if odd { cadence_s } else { -cadence_s }).clamp(0.0, 2.0 * QUARANTINE_S);
        // What is odd for as long as that is no incident but how the host is now.
        self.reservoir.draw(inputs, cadence_s, self.odd_s >= QUARANTINE_S);
        decades
    }

    pub(crate) fn fit(&mut self, inputs: &Inputs) {
        let Some(rows) = self.reservoir.fit(inputs) else { return };
        let (d, seed) = (self.reservoir.z.len(), self.reservoir.seed());
        fn each<M: Model>(rated: &mut Option<Rated<M>>, rows: &[f32], d: usize, seed: u64) {
            if let Some(rated) = rated {
                rated.fit(rows, d, seed);
            }
        }
        each(&mut self.forest, &rows, d, seed);
        each(&mut self.components, &rows, d, seed);
        each(&mut self.centres, &rows, d, seed);
        each(&mut self.correlations, &rows, d, seed);
    }

    /// What each channel adds to what each model says, in the order of [`Named::tick`].
    pub(crate) fn contributions(&self) -> [Vec<f32>; 4] {
        fn each<M: Model>(rated: Option<&Rated<M>>, z: &[f32]) -> Vec<f32> {
            rated.map(|it| it.contributions(z)).unwrap_or_default()
        }
        let z = &self.reservoir.z;
        [
            each(self.forest.as_ref(), z),
            each(self.components.as_ref(), z),
            each(self.centres.as_ref(), z),
            each(self.correlations.as_ref(), z),
        ]
    }

    pub(crate) fn write(&self, w: &mut Writer<'_>) {
        self.reservoir.write(w);
        w.f32(self.odd_s);
        fn each<M: Model>(rated: Option<&Rated<M>>, w: &mut Writer<'_>) {
            if let Some(rated) = rated {
                rated.write(w);
            }
        }
        each(self.forest.as_ref(), w);
        each(self.components.as_ref(), w);
        each(self.centres.as_ref(), w);
        each(self.correlations.as_ref(), w);
    }

    /// Reads those of `methods`, for which it was written.
    pub(crate) fn read(r: &mut Reader<'_>, methods: Methods, d: usize) -> Result<Option<Self>, JointStateError> {
        let Some(mut named) = Self::new(methods) else { return Ok(None) };
        named.reservoir = Reservoir::read(r, d)?;
        named.odd_s = r.within("odd time", 0.0, 2.0 * QUARANTINE_S)?;
        fn each<M: Model>(it: &mut Option<Rated<M>>, r: &mut Reader<'_>, d: usize) -> Result<(), JointStateError> {
            if let Some(rated) = it {
                *rated = Rated::read(r, d)?;
            }
            Ok(())
        }
        each(&mut named.forest, r, d)?;
        each(&mut named.components, r, d)?;
        each(&mut named.centres, r, d)?;
        each(&mut named.correlations, r, d)?;
        Ok(Some(named))
    }

    /// The models of `methods`: what there is, and new ones for what was not asked for before.
    pub(crate) fn turned_to(self, methods: Methods) -> Option<Self> {
        let mut new = Self { reservoir: self.reservoir, ..Self::new(methods)? };
        fn each<M>(new: &mut Option<M>, old: Option<M>) {
            if new.is_some() && old.is_some() {
                *new = old;
            }
        }
        each(&mut new.forest, self.forest);
        each(&mut new.components, self.components);
        each(&mut new.centres, self.centres);
        each(&mut new.correlations, self.correlations);
        Some(new)
    }
}
