//! `/healthz`: the process answers. `/readyz`: it can do its work.

use std::path::Path;
use std::time::Duration;

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde_json::json;

use super::State;

/// How long a report is handed out again, so that probing costs no disk work.
const REPORT_AGE: Duration = Duration::from_secs(1);
/// Writing a few bytes. A disk slower than this is not ready.
const DISK_DEADLINE: Duration = Duration::from_secs(2);

/// What was found. The words are public: facts for people go to the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    store: bool,
    listeners: bool,
    disk: bool,
}

pub(super) async fn healthz() -> Response {
    let body = Json(json!({ "status": "ok" }));
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

pub(super) async fn readyz(Extract(state): Extract<State>) -> Response {
    let report = report(&state).await;
    let word = |good: bool| if good { "ok" } else { "failed" };
    let ready = report.store && report.listeners && report.disk;
    let (code, status) = match ready {
        true => (StatusCode::OK, "ok"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not-ready"),
    };
    let body = Json(json!({
        "status": status,
        "checks": {
            "store": word(report.store),
            "listeners": word(report.listeners),
            "disk": word(report.disk),
        },
    }));
    (code, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}

async fn report(state: &State) -> Report {
    let now = state.setup().clock.monotonic();
    if let Some(report) = cached(state, now) {
        return report;
    }
    let store = state.setup().store.ping().await;
    let listeners = state.setup().probes.listeners();
    let disk = disk(state.setup().data.clone()).await;
    for (what, result) in [
        ("store", store.as_ref().err().map(ToString::to_string)),
        ("listeners", listeners.as_ref().err().cloned()),
        ("disk", disk.as_ref().err().cloned()),
    ] {
        if let Some(err) = result {
            tracing::error!(what, err, "not ready");
        }
    }
    let report = Report {
        store: store.is_ok(),
        listeners: listeners.is_ok(),
        disk: disk.is_ok(),
    };
    let mut cache = state.0.readiness.lock().expect("nobody panics with it");
    *cache = Some((now, report.clone()));
    report
}

fn cached(state: &State, now: Duration) -> Option<Report> {
    let cache = state.0.readiness.lock().expect("nobody panics with it");
    let (at, report) = cache.as_ref()?;
    (now.saturating_sub(*at) < REPORT_AGE).then(|| report.clone())
}

async fn disk(data: std::path::PathBuf) -> Result<(), String> {
    let writing = tokio::task::spawn_blocking(move || try_write(&data));
    match tokio::time::timeout(DISK_DEADLINE, writing).await {
        Ok(Ok(result)) => result.map_err(|error| error.to_string()),
        Ok(Err(_)) => Err("the check was cancelled".to_owned()),
        Err(_) => Err(format!("no answer within {DISK_DEADLINE:?}")),
    }
}

/// Writes and removes a small file.
pub(crate) fn try_write(folder: &Path) -> std::io::Result<()> {
    // Two probes at once must not remove each other's file.
    let path = folder.join(format!(".ready-{}", crate::base::id::random_key(8)));
    std::fs::write(&path, b"ready")?;
    std::fs::remove_file(&path)
}
