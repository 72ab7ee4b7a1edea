//! Queries against keys: factors that leave every score as it is.
//!
//! Channels of queries and of keys differ much in size, but only their products matter. What a channel of queries is divided
//! by, that of keys is multiplied by, so that both are as large. Both halves of a rotary pair have the same factor, and so have
//! all query heads of a key head: factors pass through rotations and cancel in every score. Then a factor per layer makes its
//! largest query as large as its largest key, and one for all fills the format; they are the same product in every layer, which the
//! step of scores takes back.

use super::RealWeights;
use super::formats::Expected;
use super::heads::{filled, filled_gain};
use crate::config::ModelConfig;
use crate::float::Channels;

/// Largest factor between channels: what calibration hardly saw may be larger elsewhere.
const LARGEST_FACTOR: f64 = 16.0;

/// Balance queries and keys, or the gains of their norms. Returns what the product of a query and a key means in the exponent.
pub(super) fn balance(config: &ModelConfig, real: &mut RealWeights, expected: &Expected) -> f64 {
    let dim = config.head_dim;
    let (layers, largest) = match &real.head_gains {
        Some([query, key]) => {
            let layers = query.chunks_exact(dim).zip(key.chunks_exact(dim));
            (
                layers.map(|(query, key)| [Channels::of(query), Channels::of(key)]).collect(),
                filled_gain(expected.precision),
            )
        }
        None => (expected.extremes.heads().to_vec(), filled(dim) / expected.precision.headroom),
    };
    let (query, key, product) = factors(&layers, dim, largest);
    let apply = |entries: &mut Vec<f64>, factors: &[Vec<f64>]| {
        entries.iter_mut().zip(factors.iter().flatten()).for_each(|(entry, factor)| *entry *= factor);
    };
    if let Some([query_gain, key_gain]) = &mut real.head_gains {
        apply(query_gain, &query);
        apply(key_gain, &key);
    } else {
        real.query_bias.iter_mut().for_each(|bias| apply(bias, &query));
        real.key_bias.iter_mut().for_each(|bias| apply(bias, &key));
        real.query.scale_rows(query);
        real.key.scale_rows(key);
    }
    config.score_scale / product
}

/// Factors of the channels of queries and of keys of each layer, and the product of any two that meet in a score. The largest
/// entry of both becomes `largest`.
fn factors(layers: &[[Channels; 2]], dim: usize, largest: f64) -> (Vec<Vec<f64>>, Vec<Vec<f64>>, f64) {
    let (mut queries, mut keys): (Vec<_>, Vec<_>) = layers.iter().map(|layer| of_pairs(layer, dim)).unzip();
    let tops: Vec<[f64; 2]> = (0..layers.len())
        .map(|layer| {
            let [query, key] = &layers[layer];
            [query.largest_times(&queries[layer]), key.largest_times(&keys[layer])]
        })
        .collect();
    let widest = tops.iter().map(|[query, key]| (query * key).sqrt()).fold(0.0, f64::max);
    let fill = positive(largest / widest);
    for (layer, [query, key]) in tops.into_iter().enumerate() {
        let ratio = positive((key / query).sqrt());
        queries[layer].iter_mut().for_each(|factor| *factor *= fill * ratio);
        keys[layer].iter_mut().for_each(|factor| *factor *= fill / ratio);
    }
    (queries, keys, fill * fill)
}

/// Factors of one layer that make pairs of channels of queries and of keys as large as each other.
fn of_pairs([query, key]: &[Channels; 2], dim: usize) -> (Vec<f64>, Vec<f64>) {
    let half = dim / 2;
    let group = query.squares.len() / key.squares.len().max(1);
    let square =
        |squares: &[f64], head: usize, pair: usize| squares[head * dim + pair] + squares[head * dim + pair + half];
    let of_key = |channel: usize| {
        let (head, pair) = (channel / dim, channel % half);
        let own = square(&key.squares, head, pair);
        let met: f64 = (0..group).map(|member| square(&query.squares, head * group + member, pair)).sum();
        positive((met / group as f64 / own).sqrt().sqrt()).clamp(1.0 / LARGEST_FACTOR, LARGEST_FACTOR)
    };
    let keys: Vec<f64> = (0..key.squares.len()).map(of_key).collect();
    let met_key = |channel: usize| channel / dim / group * dim + channel % dim;
    let queries = (0..query.squares.len()).map(|channel| 1.0 / keys[met_key(channel)]).collect();
    (queries, keys)
}

/// `factor`, or one where it comes from what was not seen or is not finite.
fn positive(factor: f64) -> f64 {
    if factor > 0.0 && factor.is_finite() { factor } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Queries of four heads and keys of two, four channels each; one key channel is much larger than others.
    fn layer(scale: f64) -> [Channels; 2] {
        let query: Vec<f64> = (0..16).map(|channel| f64::from(channel * 7 % 11 + 1) * scale).collect();
        let mut key: Vec<f64> = (0..8).map(|channel| f64::from(channel * 5 % 7 + 1)).collect();
        key[1] *= 90.0;
        [Channels::of(&query), Channels::of(&key)]
    }

    #[test]
    fn factors_cancel_in_every_score_and_pass_through_rotations() {
        let (query, key, product) = factors(&[layer(1.0), layer(0.01)], 4, 50.0);
        for layer in 0..2 {
            for channel in 0..16 {
                let met = channel / 8 * 4 + channel % 4;
                assert!((query[layer][channel] * key[layer][met] / product - 1.0).abs() < 1e-12, "{channel}");
                assert_eq!(query[layer][channel], query[layer][channel / 8 * 8 + channel % 2], "{channel}");
            }
        }
    }

    #[test]
    fn the_largest_query_and_the_largest_key_fill_their_format() {
        let layers = [layer(1.0), layer(0.01)];
        let (query, key, _) = factors(&layers, 4, 50.0);
        let tops = [0, 1]
            .map(|layer| [layers[layer][0].largest_times(&query[layer]), layers[layer][1].largest_times(&key[layer])]);
        assert!(tops.iter().all(|[query, key]| (query / key - 1.0).abs() < 1e-12), "{tops:?}");
        assert!((tops[0][0] / 50.0 - 1.0).abs() < 1e-12 && tops[1][0] < 6.0, "{tops:?}");
    }

    #[test]
    fn a_model_whose_queries_vanish_keeps_its_scale() {
        let nothing = [Channels::of(&[0.0; 4]), Channels::of(&[0.0; 4])];
        assert_eq!(factors(&[nothing], 4, 50.0), (vec![vec![1.0; 4]], vec![vec![1.0; 4]], 1.0));
    }
}
