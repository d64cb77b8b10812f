//! Whoever has texts turned into vectors: the front, which owns the accounts' credentials and the books; tests are another.
//!
//! No judgement here: what comes of a call is brought back, and the call is on the books whatever came of it.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;

/// Texts of one tenant, which pays for them.
#[derive(Clone, Debug)]
pub struct Ask {
    pub model: String,
    pub texts: Vec<String>,
    /// Its key; none where the installation asks for itself.
    pub tenant_id: Option<i64>,
}

/// On whom it lies that there are no vectors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blame {
    /// The texts: others may do.
    Texts,
    /// Their tenant, who may not spend more: others may do.
    Tenant,
    /// Whoever embeds, or the way there: nothing else will do either.
    Provider,
}

/// Why there are no vectors.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failed {
    /// In words that hold no secret and nobody's texts.
    pub sentence: String,
    pub blame: Blame,
    /// Not before.
    pub retry_after: Option<Duration>,
}

impl Failed {
    /// A failure that says nothing of when to come back.
    pub fn of(blame: Blame, sentence: impl Into<String>) -> Self {
        Self {
            sentence: sentence.into(),
            blame,
            retry_after: None,
        }
    }
}

/// See the module.
#[async_trait]
pub trait Embedder: fmt::Debug + Send + Sync + 'static {
    /// A vector for each text, in their order.
    ///
    /// # Errors
    /// See [`Failed`].
    async fn embed(&self, ask: Ask) -> Result<Vec<Vec<f32>>, Failed>;
}

/// As [`Embedder::embed`], and each vector of length 1 and of as many dimensions as the others of its model.
///
/// # Errors
/// See [`Failed`].
pub(super) async fn embedded(
    embedder: &dyn Embedder,
    ask: Ask,
    dimensions: Option<usize>,
) -> Result<Vec<Vec<f32>>, Failed> {
    let (model, wanted) = (ask.model.clone(), ask.texts.len());
    let vectors = embedder.embed(ask).await?;
    if vectors.len() != wanted {
        let sentence = "the model answered with another number of vectors than texts";
        return Err(Failed::of(Blame::Provider, sentence));
    }
    let vectors: Option<Vec<_>> = vectors.into_iter().map(of_length_one).collect();
    let vectors = vectors.ok_or_else(|| {
        Failed::of(
            Blame::Texts,
            "the model answered with a vector that points nowhere",
        )
    })?;
    let expected = dimensions.or_else(|| vectors.first().map(Vec::len));
    match vectors.iter().find(|vector| Some(vector.len()) != expected) {
        None => Ok(vectors),
        Some(other) => Err(Failed::of(
            Blame::Provider,
            format!(
                "{model} answered with {} dimensions where its stored vectors have {}: another model goes by its name; \
                 give that one a name of its own (an alias of the account) and set rag.embedding_model to it",
                other.len(),
                expected.unwrap_or_default()
            ),
        )),
    }
}

/// The vector with the length 1, so that a product is a cosine; none when it has no direction or figures that are none.
pub(super) fn of_length_one(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    let length = vector
        .iter()
        .map(|value| f64::from(*value).powi(2))
        .sum::<f64>()
        .sqrt();
    if !length.is_finite() || length < 1e-12 {
        return None;
    }
    for value in &mut vector {
        *value = (f64::from(*value) / length) as f32;
    }
    Some(vector)
}

/// As it is stored.
pub(super) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// As it was stored.
pub(super) fn from_bytes(bytes: &[u8]) -> Vec<f32> {
    let (values, _) = bytes.as_chunks::<4>();
    values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect()
}
