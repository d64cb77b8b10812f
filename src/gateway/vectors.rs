//! Calls that Steward makes to a vector store: exactly one record comes of each operation, also of one that is dropped
//! half-way, with what a call costs there ([`VectorCall`] says by what name), charged to the tenant whose pairs they are.
//!
//! Nobody's budget is asked: the text was embedded already, and to push it another time would have it paid twice.

use steward_actors::domain::record::Operation;
use steward_actors::domain::snapshot::Budget;
use steward_actors::knowledge::store::StoreFailed;

use crate::error::catalog::ErrorCode;

use super::own::Booking;
use super::{Gateway, Payer, admit, redact};

/// What a call to a vector store is called on the books. Its price is that of the collection, else of the prefix.
#[derive(Clone, Copy, Debug)]
pub struct VectorCall<'a> {
    /// Kind of the store.
    pub provider: &'a str,
    /// What the names of its collections begin with: the model that was asked for.
    pub prefix: &'a str,
    /// The model that answered.
    pub collection: &'a str,
}

impl Gateway {
    /// What comes of `work`, which is on the books then, with the `units` that the store charges for.
    ///
    /// # Errors
    /// What `work` failed by; or the books take nothing.
    pub async fn call_vector_store<T>(
        &self,
        payer: Payer,
        call: VectorCall<'_>,
        units: impl FnOnce(&T) -> i64,
        work: impl Future<Output = Result<T, StoreFailed>>,
    ) -> Result<T, StoreFailed> {
        let unbooked = |code: ErrorCode| StoreFailed::of(code.title());
        admit::books(self).map_err(|refusal| unbooked(refusal.code))?;
        let now = self.clock.now_micros();
        let nobodys = [Budget::default(), Budget::default()];
        let hold = self
            .budgets
            .reserve_of((0, payer.tenant_id), nobodys, now, || 0);
        let hold = hold.map_err(|_| unbooked(ErrorCode::BudgetExhausted))?;
        let mut booking = Booking::open(self, payer, call.prefix, hold);
        let record = &mut booking.record;
        record.operation = Operation::VectorQuery.into();
        record.provider = call.provider.to_owned();
        record.upstream_model = call.collection.to_owned();
        let done = work.await;
        let record = &mut booking.record;
        let code = match &done {
            Ok(_) => None,
            Err(failed) if failed.status == 0 => Some(ErrorCode::UpstreamUnreachable),
            Err(_) => Some(ErrorCode::UpstreamError),
        };
        record.units = done.as_ref().map_or(0, units);
        record.success = code.is_none();
        record.error_code = code.map_or("", ErrorCode::slug).to_owned();
        record.status_code = match (&done, code) {
            (Err(failed), _) if failed.status != 0 => failed.status.into(),
            (_, Some(code)) => code.status().into(),
            (_, None) => 200,
        };
        if let Err(failed) = &done {
            record.error_message = redact::scrub(&failed.sentence).into_owned();
        }
        booking.close().await.map_err(unbooked)?;
        done
    }
}
