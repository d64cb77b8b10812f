//! Who may subscribe to what.

use steward_actors::live::Topic;

use crate::error::{ApiError, ErrorCode};
use crate::http::directory::OperatorView;
use crate::http::permission::{
    Permission, ReadAccounts, ReadAlerts, ReadJobs, ReadLogs, ReadStats, ReadSupervision,
};

const fn permission(topic: Topic) -> Option<&'static str> {
    match topic {
        Topic::Stats => ReadStats::NAME,
        Topic::Health => ReadAccounts::NAME,
        Topic::Supervision => ReadSupervision::NAME,
        Topic::Alerts => ReadAlerts::NAME,
        Topic::Jobs => ReadJobs::NAME,
        Topic::Requests
        | Topic::LogsError
        | Topic::LogsWarn
        | Topic::LogsInfo
        | Topic::LogsDebug
        | Topic::LogsTrace => ReadLogs::NAME,
    }
}

/// The topic `name`, if `operator` may hear it. What is pushed is the same for everybody, so operators who see one
/// tenant only hear nothing of it; they poll.
///
/// # Errors
/// `topic_unknown`, `forbidden`.
pub(super) fn permitted(name: &str, operator: &OperatorView) -> Result<Topic, ApiError> {
    let topic = Topic::parse(name).ok_or_else(|| ApiError::new(ErrorCode::TopicUnknown))?;
    if operator.tenant_id.is_some() {
        return Err(ApiError::new(ErrorCode::Forbidden)
            .detail("Operators of one tenant do not see what belongs to the whole installation."));
    }
    match permission(topic) {
        Some(needed) if !operator.permissions.allow(needed) => {
            Err(ApiError::new(ErrorCode::Forbidden)
                .detail(format!("It takes the permission {needed}.")))
        }
        _ => Ok(topic),
    }
}
