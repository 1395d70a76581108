//! A request's parameters, read strictly: the id in the path ([`Id`]), and those of the query, each at most once, none that nobody
//! knows, and everything that is wrong with them at once.

use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::{Object, Required};

use super::problem::{Mistake, Problem};
use crate::incoming::{Given, MISTAKES_MAX, parameters, shortened, unknown};
use crate::model::{DeliveryId, WebhookId};

/// What is wrong with a value that is no text.
const NO_UTF_8: &str = "the bytes that are escaped in it are no UTF-8";

/// A parameter of the query, for the document.
pub(super) fn in_query(name: &str, description: &str, schema: Object) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Query).required(Required::False);
    parameter.description(Some(description)).schema(Some(schema)).build()
}

/// A parameter of the path, for the document.
pub(super) fn in_path(name: &str, description: &str, schema: Object) -> Parameter {
    let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
    parameter.description(Some(description)).schema(Some(schema)).build()
}

/// What the path names by its `{id}`.
pub(super) struct Id<T>(pub(super) T);

/// What can stand in a path as `{id}`.
pub(super) trait InPath: Sized {
    /// Reads it.
    fn read(text: &str) -> Result<Self, String>;
}

impl InPath for DeliveryId {
    fn read(text: &str) -> Result<Self, String> {
        Self::from_text(text).map_err(|error| error.to_string())
    }
}

impl InPath for WebhookId {
    fn read(text: &str) -> Result<Self, String> {
        Self::new(text).map_err(|error| error.to_string())
    }
}

impl<T: InPath, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let wrong = |detail| Problem::mistakes(vec![Mistake { parameter: "id".to_owned(), detail }]);
        let text = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = text.map_err(|_| wrong(NO_UTF_8.to_owned()))?;
        T::read(&text).map(Self).map_err(|error| wrong(format!("{}: {error}", quoted(&text))))
    }
}

/// The parameters of a request's query.
pub(super) struct Params {
    given: Vec<Given>,
    known: Vec<&'static str>,
    mistakes: Vec<Mistake>,
}

impl Params {
    /// Those of the text behind the question mark.
    pub(super) fn of(query: Option<&str>) -> Self {
        Self { given: parameters(query), known: Vec::new(), mistakes: Vec::new() }
    }

    /// What `parse` makes of the parameter `name`, if it is given and right.
    pub(super) fn get<T, E: Display>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        self.known.push(name);
        let mut values = self.given.iter().filter(|(given, _)| given == name).map(|(_, value)| value);
        let value = values.next()?;
        if values.next().is_some() {
            self.mistake(name, "it is given more than once".to_owned());
            return None;
        }
        let Some(value) = value else {
            self.mistake(name, NO_UTF_8.to_owned());
            return None;
        };
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let detail = error.to_string();
                self.mistake(name, detail);
                None
            }
        }
    }

    /// A whole number within `allowed`.
    pub(super) fn whole(&mut self, name: &'static str, allowed: RangeInclusive<u32>) -> Option<u32> {
        self.get(name, |value| {
            // Rust would take a plus.
            let digits = Some(value).filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()));
            let number = digits.and_then(|digits| digits.parse().ok()).filter(|number| allowed.contains(number));
            number.ok_or_else(|| {
                format!("{} is no whole number from {} to {}", quoted(value), allowed.start(), allowed.end())
            })
        })
    }

    /// Done with reading.
    ///
    /// # Errors
    /// Everything that was wrong, and every parameter that nobody asked for.
    pub(super) fn finish(mut self) -> Result<(), Problem> {
        let left = MISTAKES_MAX.saturating_sub(self.mistakes.len());
        self.mistakes.extend(unknown(&self.given, &self.known).into_iter().take(left));
        if self.mistakes.is_empty() { Ok(()) } else { Err(Problem::mistakes(self.mistakes)) }
    }

    fn mistake(&mut self, parameter: &str, detail: String) {
        if self.mistakes.len() < MISTAKES_MAX {
            self.mistakes.push(Mistake::new(parameter, detail));
        }
    }
}

/// A value that somebody gave, fit for an answer.
pub(super) fn quoted(value: &str) -> String {
    format!("{:?}", shortened(value))
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;
    use axum::response::IntoResponse;

    use super::*;

    fn asked(query: &str) -> Result<(Option<u32>, Option<String>), String> {
        let mut params = Params::of(Some(query));
        let limit = params.whole("limit", 1..=1000);
        let name = params.get("name", |value| if value.is_empty() { Err("it is empty") } else { Ok(value.to_owned()) });
        params.finish().map(|()| (limit, name)).map_err(|problem| format!("{problem:?}"))
    }

    #[test]
    fn what_is_given_is_read_decoded() {
        assert_eq!(asked(""), Ok((None, None)));
        assert_eq!(asked("&name=%C3%A9%EF%BF%BD&&"), Ok((None, Some("é\u{fffd}".to_owned()))));
        assert_eq!(asked("name=a%20b+c&limit=1000"), Ok((Some(1000), Some("a b c".to_owned()))));
    }

    #[test]
    fn everything_that_is_wrong_is_named_at_once() {
        for (query, words) in [
            ("limit=0", "\\\"0\\\" is no whole number from 1 to 1000"),
            ("limit=-5", "is no whole number"),
            ("limit=1001", "is no whole number"),
            ("limit=99999999999999999999", "is no whole number"),
            ("limit=", "is no whole number"),
            ("limit=1&limit=2", "it is given more than once"),
            ("name=", "it is empty"),
            ("name=a%FF", "no UTF-8"),
            ("&&name=%C3+%28", "no UTF-8"),
            ("limit=1&name=%ED%A0%80", "parameter: \"name\""),
            ("nmae=x", "there is no such parameter; there are limit, name"),
        ] {
            let error = asked(query).expect_err(query);
            assert!(error.contains(words), "{query}: {error}");
        }
        let all = asked("limit=x&name=&other=1").expect_err("three mistakes");
        for parameter in ["\"limit\"", "\"name\"", "\"other\""] {
            assert!(all.contains(&format!("parameter: {parameter}")), "{all}");
        }
    }

    #[test]
    fn however_much_is_wrong_the_answer_is_short() {
        let query: String = (0..5000).map(|n| format!("{}{n}=1&", "x".repeat(100))).collect();
        let params = Params::of(Some(&query));
        let problem = params.finish().expect_err("nobody knows them");
        assert!(format!("{problem:?}").len() < 10_000);
        assert_eq!(problem.into_response().status(), StatusCode::BAD_REQUEST);
    }
}
