//! The pretended operator: writes the merchants' templates, knowledge and prompts once, through the API as anybody would.
//!
//! Stopped half-way, it goes on with what is not there yet. What a person changes or removes afterwards
//! is not brought back.

use std::net::SocketAddr;
use std::time::Duration;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, WrapFuture};
use bytes::Bytes;
use http::{Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use steward_actors::supervision::{ActorRef, ChildSpec, Incarnation};
use steward_entities::database::{Databases, begin_write};
use steward_entities::instance;
use tokio::sync::watch;
use tokio::time::timeout;

use super::library::{PAIRS, PROMPTS, Prompt, TEMPLATES};
use super::world::TENANTS;
use super::{PASSWORD, USERNAME};

/// Row of `instance`: everything was written.
const WRITTEN: &str = "demo_library";
/// For one answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the operator is made of.
#[derive(Clone)]
pub struct Parts {
    pub gateway: watch::Receiver<Option<SocketAddr>>,
    pub databases: Databases,
}

/// The actor.
pub struct Desk {
    me: Incarnation<Self>,
    parts: Parts,
}

/// The child spec of `root/demo/demo_operator`.
pub fn spec(actor: &ActorRef<Desk>, parts: Parts) -> ChildSpec {
    ChildSpec::new("demo_operator", actor, move |me| Desk {
        me,
        parts: parts.clone(),
    })
}

impl Actor for Desk {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        let work = written_once(self.parts.clone());
        ctx.spawn(work.into_actor(self).map(|done, this, _| {
            if let Err(why) = done {
                this.me.fail(&why);
            }
        }));
    }
}

async fn written_once(mut parts: Parts) -> Result<(), String> {
    let told = |error: sea_orm::DbErr| error.to_string();
    let known = instance::get(&parts.databases.control, WRITTEN).await;
    if known.map_err(told)?.is_some() {
        return Ok(());
    }
    let Ok(Some(address)) = parts.gateway.wait_for(Option::is_some).await.map(|it| *it) else {
        return Ok(());
    };
    let mut api = Api {
        client: Client::builder(TokioExecutor::new()).build_http(),
        address,
        access: String::new(),
    };
    let secret = json!({"username": USERNAME, "password": PASSWORD});
    let (status, signed_in) = api.ask(Method::POST, "auth/login", secret).await?;
    let Some(access) = signed_in["access_token"].as_str() else {
        // Somebody has made this demonstration their own.
        tracing::info!(%status, "the demonstration's password was changed; its library stays as it is");
        return Ok(());
    };
    access.clone_into(&mut api.access);
    write(&api).await?;
    let txn = begin_write(&parts.databases.control).await.map_err(told)?;
    instance::put(&txn, WRITTEN, "true").await.map_err(told)?;
    txn.commit().await.map_err(told)
}

async fn write(api: &Api) -> Result<(), String> {
    let tenants = api.ask(Method::GET, "ops/tenants?limit=100", Value::Null);
    let (_, tenants) = tenants.await?;
    let named = |name: &str| {
        let mut all = tenants["items"].as_array().into_iter().flatten();
        all.find_map(|one| (one["name"] == name).then(|| one["id"].clone()))
    };
    for (tenant, (question, answer, category), quality) in PAIRS {
        let Some(tenant_id) = TENANTS.get(*tenant).and_then(|name| named(name)) else {
            continue;
        };
        let pair = json!({
            "tenant_id": tenant_id, "question": question, "answer": answer, "category": category,
            "quality_score": quality,
        });
        api.add("ops/knowledge/qa-pairs", pair).await?;
    }
    for (question, answer, category) in TEMPLATES {
        let template = json!({"question": question, "answer": answer, "category": category});
        api.add("ops/templates", template).await?;
    }
    let templates = api.ask(Method::GET, "ops/templates?limit=100", Value::Null);
    let (_, templates) = templates.await?;
    let templates = templates["items"].as_array().into_iter().flatten();
    let templates: Vec<&Value> = templates.map(|one| &one["id"]).collect();
    let to_all = json!({"template_ids": templates, "all_tenants": true, "on_conflict": "skip"});
    api.add("ops/templates/distribute", to_all).await?;
    for prompt in PROMPTS {
        write_prompt(api, prompt).await?;
    }
    api.add("ops/knowledge/sync", Value::Null).await?;
    Ok(())
}

async fn write_prompt(api: &Api, prompt: &Prompt) -> Result<(), String> {
    let Some(((first, why), later)) = prompt.versions.split_first() else {
        return Ok(());
    };
    let named = json!({
        "name": prompt.name, "description": prompt.description, "content": first, "message": why,
    });
    let made = match api.add("prompts", named).await? {
        Some(made) => made,
        // Begun before: it is where it stopped.
        None => {
            let all = api.ask(Method::GET, "prompts?limit=100", Value::Null);
            let (_, mut all) = all.await?;
            let all = all["items"].as_array_mut().map(std::mem::take);
            let mut all = all.into_iter().flatten();
            all.find(|one| one["name"] == prompt.name)
                .unwrap_or_default()
        }
    };
    let (Some(id), Some(head)) = (made["id"].as_str(), made["head"].as_u64()) else {
        return Err(format!(
            "the prompt {} cannot be told from others",
            prompt.name
        ));
    };
    let path = format!("prompts/{id}");
    let kept = usize::try_from(head)
        .unwrap_or(usize::MAX)
        .saturating_sub(1);
    for (content, why) in later.iter().skip(kept) {
        let version = json!({"content": content, "message": why});
        api.change(&path, version).await?;
    }
    for (label, number) in [
        ("production", prompt.production),
        ("staging", prompt.staging),
    ] {
        let to = json!({"version": number});
        api.change(&format!("{path}/labels/{label}"), to).await?;
    }
    Ok(())
}

/// The control API, as the operator.
struct Api {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    access: String,
}

impl Api {
    /// Adds something; none when there is one already.
    async fn add(&self, path: &str, body: Value) -> Result<Option<Value>, String> {
        let (status, answer) = self.ask(Method::POST, path, body).await?;
        match status {
            StatusCode::CONFLICT => Ok(None),
            status if status.is_success() => Ok(Some(answer)),
            status => Err(format!("{path} answered {status}: {answer}")),
        }
    }

    async fn change(&self, path: &str, body: Value) -> Result<(), String> {
        let (status, answer) = self.ask(Method::PUT, path, body).await?;
        match status.is_success() {
            true => Ok(()),
            false => Err(format!("{path} answered {status}: {answer}")),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<(StatusCode, Value), String> {
        let failed = |error: &dyn std::fmt::Display| format!("{path}: {error}");
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("http://{}/api/v1/{path}", self.address))
            .header("content-type", "application/json")
            .header("user-agent", "steward-demo-operator");
        if !self.access.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.access));
        }
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let request = request.body(Full::new(body)).map_err(|it| failed(&it))?;
        let answered = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| failed(&error))?;
            let status = answer.status();
            let body = answer.into_body().collect().await;
            let body = body.map_err(|error| failed(&error))?.to_bytes();
            Ok((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
        };
        timeout(PATIENCE, answered)
            .await
            .map_err(|error| failed(&error))?
    }
}
