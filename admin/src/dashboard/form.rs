//! Forms: the fields that a browser sends, kept so that a form with a fault shows them again.

use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use gatepost_control_plane::{Failure, Patch};
use gatepost_domain::problem::ErrorCode;
use gatepost_domain::time::Version;

use super::answer::{self, PageError};
use super::state::DashboardState;
use super::visitor::Visitor;

/// Maximum size of a form in bytes.
const MAX_FORM_BYTES: usize = 64 * 1024;

/// The fields of a form in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// Returns the text of a field without space around it; empty if the field is absent.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.trim())
    }

    /// Returns the texts of all fields of a name, in order, without space around them.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.trim())
    }

    /// Returns the names of the fields, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the text of a field, unless it is empty.
    pub(crate) fn filled(&self, name: &str) -> Option<String> {
        Some(self.text(name)).filter(|text| !text.is_empty()).map(str::to_owned)
    }

    /// Returns the change of a member that an empty field removes.
    pub(crate) fn patch(&self, name: &str) -> Patch<String> {
        self.filled(name).map_or(Patch::Null, Patch::Value)
    }

    /// Returns the lines of a field that are not empty.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        self.text(name).lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Parses a number; none if the field is empty.
    ///
    /// # Errors
    /// A refusal that names the field.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let Some(text) = self.filled(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Failure::invalid(format!("{name}: must be a whole number")))
    }

    /// Returns the number of a field whose range begins at 1; none if the field is empty. What is no whole number, or is
    /// above all ranges, becomes one that the range of the field refuses.
    pub(crate) fn ranged_number(&self, name: &str) -> Option<u64> {
        let text = self.filled(name)?;
        let is_whole = text.bytes().all(|digit| digit.is_ascii_digit());
        Some(if is_whole { text.parse().unwrap_or(u64::MAX) } else { 0 })
    }

    /// Returns the version at which the form showed its record.
    pub(crate) fn version(&self) -> Option<Version> {
        self.text("version").parse().ok().map(Version::from_u64)
    }

    /// Returns all fields as one text, by which a form that is sent again is recognised.
    pub(crate) fn to_text(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.0).finish()
    }

    /// Returns a form with these fields.
    pub(crate) fn with(fields: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }
}

impl FromRequest<DashboardState> for Form {
    type Rejection = Response;

    async fn from_request(request: Request, _: &DashboardState) -> Result<Self, Response> {
        let bytes = axum::body::to_bytes(request.into_body(), MAX_FORM_BYTES).await.map_err(|_| {
            let detail = format!("the form has more than {MAX_FORM_BYTES} bytes, or did not arrive in time");
            PageError::from(Failure::refused(ErrorCode::BodyTooLarge, detail)).into_response()
        })?;
        Ok(Self(url::form_urlencoded::parse(&bytes).into_owned().collect()))
    }
}

/// What is wrong with a form.
#[derive(Debug, Clone)]
pub(crate) struct FormFault {
    /// The member that is wrong; empty if it is not one alone.
    pub(crate) field: String,
    pub(crate) text: String,
}

/// All that is wrong with a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct FormFaults(Vec<FormFault>);

/// The faults of a form that has none.
pub(crate) static NO_FAULTS: FormFaults = FormFaults(Vec::new());

impl FormFaults {
    /// Returns the faults that a refusal is about.
    ///
    /// # Errors
    /// Failures that other entries would not mend.
    pub(crate) fn of(failure: Failure) -> Result<Self, PageError> {
        let Failure::Refused(problem) = &failure else { return Err(failure.into()) };
        if matches!(problem.code.status(), 401 | 403 | 404 | 500..) {
            return Err(failure.into());
        }
        Ok(Self(problem.parts().iter().map(|detail| FormFault::parse(detail)).collect()))
    }

    /// Returns the fault of one field.
    pub(crate) fn one(field: &str, text: impl Into<String>) -> Self {
        Self(vec![FormFault { field: field.to_owned(), text: text.into() }])
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &FormFault> {
        self.0.iter()
    }

    /// Returns the faults of the member with a name.
    pub(crate) fn of_field(&self, name: &str) -> Vec<&FormFault> {
        self.iter().filter(|fault| fault.field == name).collect()
    }
}

impl FromIterator<FormFault> for FormFaults {
    fn from_iter<I: IntoIterator<Item = FormFault>>(faults: I) -> Self {
        Self(faults.into_iter().collect())
    }
}

impl FormFault {
    /// Parses the detail of a refusal: the member, and what is wrong with it.
    fn parse(detail: &str) -> Self {
        let is_member = |name: &str| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
        let (field, text) = detail.split_once(": ").filter(|(name, _)| is_member(name)).unwrap_or(("", detail));
        // A form sends every field, so a member that the API misses is one that was left empty.
        let text = if text == "is missing" { "must not be empty" } else { text };
        Self { field: field.to_owned(), text: answer::capitalized(text) }
    }
}

/// Returns the id of a project in a form, if the visitor sees the project.
///
/// # Errors
/// `validation` if not: another entry mends it, so it is no page that is missing.
pub(crate) async fn visible_project(
    state: &DashboardState,
    visitor: &Visitor,
    id: Option<String>,
) -> Result<Option<String>, Failure> {
    let Some(id) = id else { return Ok(None) };
    match state.control_plane.project(&visitor.context(), &id).await {
        Ok(_) => Ok(Some(id)),
        Err(Failure::Refused(problem)) if problem.code == ErrorCode::NotFound => {
            Err(Failure::invalid("projectId: there is no such project"))
        }
        Err(failure) => Err(failure),
    }
}
