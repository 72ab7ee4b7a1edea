//! Root-mean-square norm (Zhang and Sennrich, 2019).

/// `x / sqrt(mean(x^2) + eps) * gain`, over rows as wide as the gain.
pub(super) struct Norm {
    gain: Vec<f32>,
    eps: f32,
}

impl Norm {
    pub(super) fn new(gain: Vec<f32>, eps: f32) -> Self {
        Self { gain, eps }
    }

    pub(super) fn apply(&self, input: &[f32]) -> Vec<f32> {
        let width = self.gain.len();
        input
            .chunks_exact(width)
            .flat_map(|row| {
                let mean = row.iter().map(|x| x * x).sum::<f32>() / width as f32;
                let scale = 1.0 / (mean + self.eps).sqrt();
                row.iter().zip(&self.gain).map(move |(x, gain)| x * scale * gain)
            })
            .collect()
    }
}
