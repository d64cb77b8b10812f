//! OTLP's protobuf, walked instead of decoded: field by field over the body, one span at a time.
//!
//! Generated types would build the whole request before anybody looks at it, and a body of empty spans is two
//! hundred times as large in memory as on the wire. Numbers of fields are those of opentelemetry-proto 1.x,
//! which are frozen. Unknown fields and wrongly typed ones are passed over, as protobuf asks.

use super::Malformed;
use super::span::{Attributes, Context, Span, Value};

const MALFORMED: Malformed = Malformed("protobuf");

/// Shows every span of a request; never `None`.
///
/// # Errors
/// A length or a tag makes no sense; spans before it have been shown.
pub fn read(body: &[u8], each: &mut impl FnMut(&Context, Option<Span>)) -> Result<(), Malformed> {
    for field in fields(body) {
        if let (1, Wire::Bytes(resource_spans)) = field? {
            self::resource_spans(resource_spans, each)?;
        }
    }
    Ok(())
}

fn resource_spans(
    body: &[u8],
    each: &mut impl FnMut(&Context, Option<Span>),
) -> Result<(), Malformed> {
    let mut resource = Attributes::default();
    // The resource may stand behind the spans.
    for field in fields(body) {
        if let (1, Wire::Bytes(body)) = field? {
            for field in fields(body) {
                if let (1, Wire::Bytes(pair)) = field? {
                    attribute(pair, &mut resource)?;
                }
            }
        }
    }
    let mut context = Context {
        service: resource.text("service.name").unwrap_or_default().to_owned(),
        ..Context::default()
    };
    for field in fields(body) {
        if let (2, Wire::Bytes(scope_spans)) = field? {
            self::scope_spans(scope_spans, &mut context, each)?;
        }
    }
    Ok(())
}

fn scope_spans(
    body: &[u8],
    context: &mut Context,
    each: &mut impl FnMut(&Context, Option<Span>),
) -> Result<(), Malformed> {
    context.scope.clear();
    for field in fields(body) {
        if let (1, Wire::Bytes(scope)) = field? {
            for field in fields(scope) {
                if let (1, Wire::Bytes(name)) = field? {
                    context.scope = text(name);
                }
            }
        }
    }
    for field in fields(body) {
        if let (2, Wire::Bytes(body)) = field? {
            let span = span(body)?;
            each(context, Some(span));
        }
    }
    Ok(())
}

fn span(body: &[u8]) -> Result<Span, Malformed> {
    let mut span = Span::default();
    for field in fields(body) {
        match field? {
            (1, Wire::Bytes(id)) => span.trace_id = short(id),
            (2, Wire::Bytes(id)) => span.span_id = short(id),
            (7, Wire::Fixed64(at)) => span.start_ns = at,
            (8, Wire::Fixed64(at)) => span.end_ns = at,
            (9, Wire::Bytes(pair)) => attribute(pair, &mut span.attributes)?,
            (11, Wire::Bytes(event)) => self::event(event, &mut span)?,
            (15, Wire::Bytes(status)) => {
                for field in fields(status) {
                    match field? {
                        (2, Wire::Bytes(message)) => span.status_message = text(message),
                        (3, Wire::Varint(code)) => span.failed = code == 2,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    Ok(span)
}

fn event(body: &[u8], span: &mut Span) -> Result<(), Malformed> {
    let (mut at, mut name, mut attributes) = (0, String::new(), Attributes::default());
    for field in fields(body) {
        match field? {
            (1, Wire::Fixed64(time)) => at = time,
            (2, Wire::Bytes(text)) => name = self::text(text),
            (3, Wire::Bytes(pair)) => attribute(pair, &mut attributes)?,
            _ => {}
        }
    }
    span.event(&name, at, &attributes);
    Ok(())
}

fn attribute(body: &[u8], into: &mut Attributes) -> Result<(), Malformed> {
    let (mut name, mut value): (&[u8], &[u8]) = (&[], &[]);
    for field in fields(body) {
        match field? {
            (1, Wire::Bytes(text)) => name = text,
            (2, Wire::Bytes(any)) => value = any,
            _ => {}
        }
    }
    let Ok(name) = std::str::from_utf8(name) else {
        return Ok(());
    };
    if !Attributes::wants(name) {
        return Ok(());
    }
    for field in fields(value) {
        let value = match field? {
            (1, Wire::Bytes(text)) => Value::text(self::text(text)),
            (2, Wire::Varint(truth)) => Value::Bool(truth != 0),
            (3, Wire::Varint(int)) => Value::Int(int.cast_signed()),
            (4, Wire::Fixed64(bits)) => Value::Double(f64::from_bits(bits)),
            _ => continue,
        };
        into.put(name, value);
    }
    Ok(())
}

/// Longest text made of bytes; whoever keeps one cuts it further.
const TEXT_MAX_BYTES: usize = 8 * 1024;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_MAX_BYTES)]).into_owned()
}

/// Ids have 8 or 16 bytes; of a longer one is kept enough to see that it is none.
fn short(id: &[u8]) -> Vec<u8> {
    id[..id.len().min(17)].to_vec()
}

/// A field's value.
enum Wire<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32,
    Bytes(&'a [u8]),
}

struct Fields<'a>(&'a [u8]);

fn fields(body: &[u8]) -> Fields<'_> {
    Fields(body)
}

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn bytes(&mut self, many: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(many)?;
        self.0 = rest;
        Some(taken)
    }

    fn field(&mut self) -> Option<(u64, Wire<'a>)> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Wire::Varint(self.varint()?),
            1 => Wire::Fixed64(u64::from_le_bytes(self.bytes(8)?.try_into().ok()?)),
            2 => {
                let many = usize::try_from(self.varint()?).ok()?;
                Wire::Bytes(self.bytes(many)?)
            }
            5 => {
                self.bytes(4)?;
                Wire::Fixed32
            }
            // Groups, which OTLP has none of, and what is not protobuf.
            _ => return None,
        };
        (tag >> 3 != 0).then_some((tag >> 3, value))
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Wire<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or(MALFORMED);
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}
