use proptest::prelude::*;

use super::*;

type Seen = (Vec<u8>, Vec<u8>, u64, u64);

/// Feeds `stream` cut at `cuts`; `judge` decides by data.
fn run(
    stream: &[u8],
    cuts: &[usize],
    mut judge: impl FnMut(&Event<'_>) -> Verdict,
) -> (Vec<Seen>, Vec<u8>, Vec<u8>) {
    let mut splitter = Splitter::new();
    let mut out = Vec::new();
    let mut seen = Vec::new();
    let mut look = |event: &Event<'_>| {
        seen.push((
            event.name.to_vec(),
            event.data.to_vec(),
            event.start,
            event.end,
        ));
        judge(event)
    };
    let mut points: Vec<usize> = cuts.iter().map(|cut| cut % (stream.len() + 1)).collect();
    points.sort_unstable();
    let mut from = 0;
    for point in points.into_iter().chain([stream.len()]) {
        splitter.push(
            Bytes::copy_from_slice(&stream[from..point]),
            &mut out,
            &mut look,
        );
        from = point;
    }
    splitter.finish(&mut out, &mut look);
    let held = splitter.release().concat();
    (seen, out.concat(), held)
}

const OPENAI: &[u8] = b": ping\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"\xe7\x95\x8c\"}}]}\n\ndata: {\"choices\":[],\"usage\":{}}\n\ndata: [DONE]\n\n";

#[test]
fn every_cut_gives_the_same_events_and_every_byte_goes_out() {
    for ending in ["\n", "\r\n", "\r"] {
        let text = OPENAI
            .split(|b| *b == b'\n')
            .collect::<Vec<_>>()
            .join(ending.as_bytes());
        let whole = run(&text, &[], |_| Verdict::Pass);
        assert_eq!(whole.0.len(), 4, "{ending:?}");
        assert_eq!(whole.0[3].1, b"[DONE]");
        for cut in 0..text.len() {
            let split = run(&text, &[cut], |_| Verdict::Pass);
            assert_eq!(split.1, text);
            let fields = |seen: &[Seen]| -> Vec<(Vec<u8>, Vec<u8>)> {
                seen.iter().map(|s| (s.0.clone(), s.1.clone())).collect()
            };
            assert_eq!(
                fields(&split.0),
                fields(&whole.0),
                "{ending:?} cut at {cut}"
            );
        }
    }
}

#[test]
fn the_usage_chunk_is_dropped_and_the_terminal_event_held() {
    for cut in 0..OPENAI.len() {
        let (_, out, held) = run(OPENAI, &[cut, cut + 9], |event| match &event.data[..] {
            b"[DONE]" => Verdict::Hold,
            data if data.starts_with(b"{\"choices\":[]") => Verdict::Drop,
            _ => Verdict::Pass,
        });
        assert_eq!(held, b"data: [DONE]\n\n");
        let kept = OPENAI.len() - held.len() - b"data: {\"choices\":[],\"usage\":{}}\n\n".len();
        assert_eq!(out, &OPENAI[..kept]);
    }
}

#[test]
fn a_whole_chunk_is_forwarded_without_a_copy() {
    let mut splitter = Splitter::new();
    let chunk = Bytes::from_static(b"data: 1\n\ndata: 2\n\n");
    let mut out = Vec::new();
    splitter.push(chunk.clone(), &mut out, |_| Verdict::Pass);
    assert_eq!(out.len(), 1);
    assert_eq!(out[0].as_ptr(), chunk.as_ptr());
}

#[test]
fn an_event_beyond_the_bound_keeps_flowing_and_the_next_one_is_parsed() {
    let mut splitter = Splitter::new();
    let mut out = Vec::new();
    let mut seen = Vec::new();
    let mut judge = |event: &Event<'_>| {
        seen.push((event.name.to_vec(), event.oversized));
        if event.oversized {
            assert_eq!(event.data.len(), TAIL_BYTES);
            assert!(event.data.ends_with(b"xx\n\n"));
        }
        Verdict::Pass
    };
    let mut stream = b"event: response.completed\ndata: ".to_vec();
    stream.resize(3 * EVENT_MAX_BYTES, b'x');
    stream.extend_from_slice(b"\n\nevent: e\ndata: 1\n\n");
    for piece in stream.chunks(10_000) {
        splitter.push(Bytes::copy_from_slice(piece), &mut out, &mut judge);
        assert!(splitter.pending_bytes() <= EVENT_MAX_BYTES);
    }
    assert_eq!(
        seen,
        [
            (b"response.completed".to_vec(), true),
            (b"e".to_vec(), false)
        ]
    );
    assert_eq!(out.concat(), stream);
    assert_eq!(splitter.oversized_events(), 1);
}

#[test]
fn a_stream_that_ends_without_its_blank_line_still_shows_its_last_event() {
    let (seen, out, _) = run(b"data: a\n\ndata: [DONE]", &[3], |_| Verdict::Pass);
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].1, b"[DONE]");
    assert_eq!(out, b"data: a\n\ndata: [DONE]");
}

#[test]
fn data_lines_are_joined_and_fields_without_a_space_are_read() {
    let (seen, ..) = run(
        b"\xef\xbb\xbfevent:x\ndata:1\nid: 7\ndata: 2\n\n",
        &[],
        |_| Verdict::Pass,
    );
    assert_eq!(seen[0].0, b"x");
    assert_eq!(seen[0].1, b"1\n2");
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "data: ", "event: ", "a", "界", ":", "\n", "\n\n", "\r\n", "\r\n\r\n", "\r", "\r\r", " ",
        "D",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn bytes_are_kept_in_order_whatever_the_chunking(stream in stream(), cuts in prop::collection::vec(0usize..400, 0..8)) {
        let (seen, out, held) = run(&stream, &cuts, |_| Verdict::Pass);
        prop_assert_eq!(&out, &stream);
        prop_assert!(held.is_empty());
        let (whole, ..) = run(&stream, &[], |_| Verdict::Pass);
        let fields = |seen: Vec<Seen>| -> Vec<(Vec<u8>, Vec<u8>)> { seen.into_iter().map(|s| (s.0, s.1)).filter(|s| !s.0.is_empty() || !s.1.is_empty()).collect() };
        prop_assert_eq!(fields(seen), fields(whole));
    }

    #[test]
    fn drop_takes_exactly_the_dropped_events_and_hold_exactly_the_tail(stream in stream(), cuts in prop::collection::vec(0usize..400, 0..8)) {
        let mut expected = Vec::new();
        let mut last = 0u64;
        let mut drops = |event: &Event<'_>| {
            if event.data.contains(&b'D') {
                expected.extend_from_slice(&stream[last as usize..event.start as usize]);
                last = event.end;
                Verdict::Drop
            } else {
                Verdict::Pass
            }
        };
        let (_, out, _) = run(&stream, &cuts, &mut drops);
        expected.extend_from_slice(&stream[last as usize..]);
        prop_assert_eq!(&out, &expected);

        let mut first = None;
        let (_, out, held) = run(&stream, &cuts, |event| {
            if event.data.contains(&b'D') {
                first.get_or_insert(event.start);
                Verdict::Hold
            } else {
                Verdict::Pass
            }
        });
        let at = first.map_or(stream.len(), |start| start as usize);
        prop_assert_eq!(&out[..], &stream[..at]);
        prop_assert_eq!(&held[..], &stream[at..]);
    }
}
