//! An actor that fails on purpose every few minutes, so that the supervision page has something to tell. Its name
//! says so, and so does the reason it gives.

use std::time::Duration;

use actix::{Actor, AsyncContext, Context};
use steward_actors::supervision::{ActorRef, ChildSpec, Incarnation};

use super::chance::Chance;

/// Between two failures, in the middle.
const EVERY_S: f64 = 240.0;

/// The actor.
pub struct Stumbler {
    me: Incarnation<Self>,
    seed: u64,
}

/// The child spec of `root/demo/fails_on_purpose`.
pub fn spec(actor: &ActorRef<Stumbler>, seed: u64) -> ChildSpec {
    ChildSpec::new("fails_on_purpose", actor, move |me| Stumbler { me, seed })
}

impl Actor for Stumbler {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let mut chance = Chance::of(self.seed, &[0xfa11, self.me.epoch()]);
        let stumbles_s = chance.log_normal(EVERY_S, 0.3);
        ctx.run_later(Duration::from_secs_f64(stumbles_s), |this, _| {
            this.me
                .fail("this actor of the demonstration fails on purpose now and then");
        });
    }
}
