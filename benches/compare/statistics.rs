//! Medians and spreads of a handful of values.

/// The middle of some values and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// Of at least one value; every row has at least one round.
    pub(crate) fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            sorted[middle]
        } else {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        };
        Self {
            median,
            least: sorted[0],
            most: sorted[sorted.len() - 1],
        }
    }

    /// Of the ratios of values measured in the same round, `direct` taken from both. Neighbours in
    /// time are divided by each other, so that a disturbance that lasts spoils fewer of them.
    pub(crate) fn of_ratios(values: &[f64], baseline: &[f64], direct: &[f64]) -> Self {
        let without = |values: &[f64], round: usize| {
            values[round] - direct.get(round).copied().unwrap_or_default()
        };
        let rounds = 0..values.len().min(baseline.len());
        let ratios: Vec<f64> = rounds
            .map(
                |round| match (without(values, round), without(baseline, round)) {
                    // Also if both are 0.
                    (ours, theirs) if ours == theirs => 1.0,
                    (ours, theirs) => ours / theirs,
                },
            )
            .collect();
        Self::of(&ratios)
    }
}
