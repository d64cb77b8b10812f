//! Lists, a page at a time: `limit`, `cursor`, the numbered pages some clients want, and `sort`.
//!
//! A cursor is opaque to clients: the key of the last row they saw, checked when it comes back. It is not
//! signed, since it opens nothing that the list itself does not show.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use steward_entities::scope;
use utoipa::{IntoParams, ToSchema};

use super::extract;
use crate::error::{ApiError, ErrorCode};

/// Rows of a page unless asked otherwise.
pub const LIMIT_DEFAULT: u64 = 50;
/// Rows of a page at most.
pub const LIMIT_MAX: u64 = 200;
/// Numbered pages reach this many rows deep; cursors have no end.
const OFFSET_MAX: u64 = 10_000;
const CURSOR_MAX_BYTES: usize = 1_024;

/// One page of a list.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Ask for what follows with `?cursor=`; null on the last page.
    pub next_cursor: Option<String>,
    /// How many there are in all; null where counting would cost too much.
    pub total: Option<u64>,
    /// Whether `total` is a count rather than an estimate.
    pub total_is_exact: bool,
}

impl<T> Page<T> {
    /// A list that is short enough to be sent whole.
    pub fn whole(items: Vec<T>) -> Self {
        let total = items.len() as u64;
        Self {
            items,
            next_cursor: None,
            total: Some(total),
            total_is_exact: true,
        }
    }

    /// Cuts `rows`, fetched with [`PageRequest::rows`] (or by hand: [`PageRequest::offset`] rows to leave
    /// out, then one more than the limit), to the page. The surplus row means another page, which begins
    /// after the last row kept, named by `key`.
    pub fn of<R, K: Serialize>(
        mut rows: Vec<R>,
        request: &PageRequest,
        total: Option<u64>,
        key: impl Fn(&R) -> K,
        show: impl FnMut(R) -> T,
    ) -> Self {
        rows.drain(..rows.len().min(request.offset as usize));
        let more = rows.len() as u64 > request.limit;
        rows.truncate(request.limit as usize);
        let next_cursor = rows.last().filter(|_| more).map(|row| cursor(&key(row)));
        Self {
            items: rows.into_iter().map(show).collect(),
            next_cursor,
            total,
            total_is_exact: total.is_some(),
        }
    }
}

/// How a page is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Rows of a page.
    #[param(minimum = 1, maximum = 200, default = 50)]
    limit: Option<u64>,
    /// The same as `limit`.
    #[param(minimum = 1, maximum = 200)]
    page_size: Option<u64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Number of the page, from 1; not together with `cursor`.
    #[param(minimum = 1)]
    page: Option<u64>,
}

/// A page as asked for, checked. Document it with `params(PageQuery)`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PageRequest {
    /// Rows of a page, 1 to [`LIMIT_MAX`].
    pub limit: u64,
    /// Rows that [`Page::of`] leaves out first; 0 unless pages are numbered.
    pub offset: u64,
    cursor: Option<String>,
}

impl PageRequest {
    /// The rows to fetch from a list that is keyed by its row id, newest first.
    ///
    /// # Errors
    /// `invalid_cursor` when it is not one of this list.
    pub fn rows(&self) -> Result<scope::Page, ApiError> {
        Ok(scope::Page {
            after: self.after()?,
            limit: self.offset + self.limit + 1,
        })
    }

    /// The key that the page begins after; `None` on the first page.
    ///
    /// # Errors
    /// `invalid_cursor` when it is not one of this list.
    pub fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, ApiError> {
        let Some(text) = &self.cursor else {
            return Ok(None);
        };
        URL_SAFE_NO_PAD
            .decode(text)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .map(Some)
            .ok_or_else(not_a_cursor)
    }
}

/// The cursor that begins after `key`.
pub fn cursor(key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(key).unwrap_or_default())
}

impl TryFrom<PageQuery> for PageRequest {
    type Error = ApiError;

    fn try_from(query: PageQuery) -> Result<Self, ApiError> {
        let limit = match (query.limit, query.page_size) {
            (Some(a), Some(b)) if a != b => {
                return Err(refused("page_size", "contradicts limit"));
            }
            (Some(limit), _) | (None, Some(limit)) => limit,
            (None, None) => LIMIT_DEFAULT,
        };
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(refused(
                "limit",
                format!("must lie between 1 and {LIMIT_MAX}"),
            ));
        }
        let offset = match query.page {
            None => 0,
            Some(_) if query.cursor.is_some() => {
                return Err(refused("page", "cannot be combined with cursor"));
            }
            Some(0) => return Err(refused("page", "counts from 1")),
            Some(page) => (page - 1)
                .checked_mul(limit)
                .filter(|offset| *offset <= OFFSET_MAX)
                .ok_or_else(|| refused("page", "lies too deep; follow next_cursor instead"))?,
        };
        if query
            .cursor
            .as_ref()
            .is_some_and(|text| text.len() > CURSOR_MAX_BYTES)
        {
            return Err(not_a_cursor());
        }
        Ok(Self {
            limit,
            offset,
            cursor: query.cursor,
        })
    }
}

impl FromRequest for PageRequest {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(extract::query::<PageQuery>(request).and_then(Self::try_from))
    }
}

/// An order as asked for: a field, with `-` in front for the greatest first.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Sort {
    /// Field to sort by; `-` in front sorts downwards.
    sort: Option<String>,
}

/// Which way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// Smallest first.
    Up,
    /// Greatest first.
    Down,
}

impl Sort {
    /// The field and direction asked for, which must be one of `fields`; `default` when none is.
    ///
    /// # Errors
    /// `invalid_request`, naming the fields there are.
    pub fn among(
        &self,
        fields: &[&'static str],
        default: (&'static str, Direction),
    ) -> Result<(&'static str, Direction), ApiError> {
        let Some(text) = self.sort.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(default);
        };
        let (name, direction) = match text.strip_prefix('-') {
            Some(name) => (name, Direction::Down),
            None => (text, Direction::Up),
        };
        match fields.iter().find(|field| **field == name) {
            Some(field) => Ok((field, direction)),
            None => Err(refused(
                "sort",
                format!("must be one of {}", fields.join(", ")),
            )),
        }
    }
}

impl FromRequest for Sort {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(extract::query(request))
    }
}

fn not_a_cursor() -> ApiError {
    ApiError::new(ErrorCode::CursorInvalid).field("cursor", "is not a cursor of this list")
}

fn refused(field: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::RequestInvalid).field(field, message)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn ask(query: &str) -> Result<PageRequest, ApiError> {
        let request = TestRequest::with_uri(&format!("/x?{query}")).to_http_request();
        PageRequest::from_request(&request, &mut Payload::None).into_inner()
    }

    #[test]
    fn limits_aliases_and_numbers() {
        assert_eq!(ask("").unwrap().limit, 50);
        assert_eq!(ask("page_size=7&page=3").unwrap().offset, 14);
        for bad in [
            "limit=0",
            "limit=201",
            "limit=x",
            "limit=-1",
            "limit=5&page_size=6",
            "page=0",
            "page=1&cursor=a",
            "page=99999999999999999",
            "limit=5&limit=6",
        ] {
            let error = ask(bad).unwrap_err();
            assert_eq!(error.code(), ErrorCode::RequestInvalid, "{bad}");
        }
    }

    #[test]
    fn a_page_knows_its_successor() {
        let request = ask("limit=2").unwrap();
        let page: Page<i64> = Page::of(vec![9, 8, 7], &request, None, |row| *row, |row| row);
        assert_eq!(page.items, [9, 8]);
        let next = ask(&format!("cursor={}", page.next_cursor.unwrap())).unwrap();
        assert_eq!(next.after::<i64>().unwrap(), Some(8));
        let last: Page<i64> = Page::of(vec![7], &request, None, |row| *row, |row| row);
        assert_eq!(last.next_cursor, None);
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        for bad in ["%21", "AAAA", "bnVsbA", "ICJ4Ig"] {
            let error = ask(&format!("cursor={bad}"))
                .unwrap()
                .after::<i64>()
                .unwrap_err();
            assert_eq!(error.code(), ErrorCode::CursorInvalid, "{bad}");
        }
    }

    #[test]
    fn sort_names_a_known_field() {
        let sort = |text: &str| Sort {
            sort: Some(text.into()),
        };
        let fields = ["at", "name"];
        assert_eq!(
            sort("-name")
                .among(&fields, ("at", Direction::Down))
                .unwrap(),
            ("name", Direction::Down)
        );
        assert_eq!(
            sort("").among(&fields, ("at", Direction::Down)).unwrap(),
            ("at", Direction::Down)
        );
        assert!(
            sort("; drop")
                .among(&fields, ("at", Direction::Down))
                .is_err()
        );
    }
}
