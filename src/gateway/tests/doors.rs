//! What is decided before a call's body is read: no more bodies are in memory than calls may be under way.

use std::rc::Rc;

use steward_actors::domain::snapshot::{Protocol, TokenView};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::fake::{Fake, Step, json};
use super::house::{ASK, CHAT, House, account, eventually, read_answer, token, with};

/// The head of a call whose body is a megabyte, and the beginning of that.
async fn begin_large(house: &House) -> TcpStream {
    let mut socket = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: steward\r\ncontent-type: application/json\r\n\
         authorization: Bearer {}\r\ncontent-length: 1000000\r\n\r\n{{\"model\":",
        house.secret
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    socket
}

/// Another request on a connection that is open.
async fn ask_again(house: &House, socket: &mut TcpStream, body: &str) -> String {
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: steward\r\ncontent-type: application/json\r\n\
         authorization: Bearer {}\r\ncontent-length: {}\r\n\r\n{body}",
        house.secret,
        body.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    read_answer(socket).await.0
}

async fn limited(token: TokenView, test: impl AsyncFnOnce(Rc<House>)) {
    let fake = Fake::new(vec![vec![Step::Send(json("200 OK", "{}"))]]).await;
    let accounts = vec![account(1, Protocol::OpenAi, &fake)];
    let test = |house: Rc<House>| async move { test(house).await };
    with(accounts, token, &[&fake], |_, _| {}, test).await;
}

#[actix_web::test]
async fn a_body_on_its_way_has_one_of_the_tokens_places() {
    let mut one = token();
    one.concurrency = Some(1);
    limited(one, async |house| {
        let limits = house.gateway.limits();
        let reading = begin_large(&house).await;
        eventually(|| limits.in_flight(1) == 1).await;
        // Refused though nobody has seen its body, and will not.
        let mut other = begin_large(&house).await;
        let (seen, complete) = read_answer(&mut other).await;
        assert!(complete && seen.starts_with("HTTP/1.1 429"), "{seen}");
        assert!(seen.contains("connection: close"), "{seen}");
        // A small one is read: its record says what was asked for, and its connection lives on.
        let mut small = house.post(CHAT, ASK).await;
        let (seen, complete) = read_answer(&mut small).await;
        assert!(complete && seen.starts_with("HTTP/1.1 429"), "{seen}");
        assert!(seen.contains("rate_limit_exceeded"), "{seen}");
        drop(reading);
        eventually(|| limits.in_flight(1) == 0).await;
        let seen = ask_again(&house, &mut small, ASK).await;
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        eventually(|| house.spool.ledger().accepted == 4).await;
        let mut told: Vec<_> = house
            .records()
            .into_iter()
            .map(|record| (record.status_code, record.error_code, record.model))
            .collect();
        told.sort();
        let told: Vec<_> = told
            .iter()
            .map(|(status, code, model)| (*status, code.as_str(), model.as_str()))
            .collect();
        let busy = "concurrency_limit_exceeded";
        let expected = [
            (200, "", "gpt-4o"),
            (429, busy, ""),
            (429, busy, "gpt-4o"),
            (499, "client_closed_request", ""),
        ];
        assert_eq!(told, expected);
        assert_eq!(limits.in_flight(1), 0);
    })
    .await;
}

#[actix_web::test]
async fn a_request_that_comes_to_nothing_is_none_of_the_minutes() {
    let mut one = token();
    one.rpm = Some(1);
    one.allowed_models = Some(vec!["gpt-*".into()]);
    limited(one, async |house| {
        let limits = house.gateway.limits();
        let cut = begin_large(&house).await;
        eventually(|| limits.in_flight(1) == 1).await;
        // While it lasts it is the minute's one request.
        let (seen, _) = read_answer(&mut house.post(CHAT, ASK).await).await;
        assert!(seen.starts_with("HTTP/1.1 429"), "{seen}");
        drop(cut);
        eventually(|| limits.in_flight(1) == 0).await;
        let mut socket = house.post(CHAT, "no json").await;
        let (seen, _) = read_answer(&mut socket).await;
        assert!(seen.starts_with("HTTP/1.1 400"), "{seen}");
        let seen = ask_again(&house, &mut socket, r#"{"model":"o1"}"#).await;
        assert!(seen.starts_with("HTTP/1.1 403"), "{seen}");
        let seen = ask_again(&house, &mut socket, ASK).await;
        assert!(seen.starts_with("HTTP/1.1 200"), "{seen}");
        // Now it has been made; and that comes before what the body says.
        let seen = ask_again(&house, &mut socket, "no json").await;
        assert!(
            seen.starts_with("HTTP/1.1 429") && seen.contains("retry-after: "),
            "{seen}"
        );
    })
    .await;
}
