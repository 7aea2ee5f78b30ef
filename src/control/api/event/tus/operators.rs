//! The same for operators, who may send the file of any event.

use axum::routing::{MethodRouter, head, post};

use super::super::upload::{Piece, Sender};
use super::Tus;
use crate::control::State;
use crate::control::api::answer::Answer;
use crate::control::api::docs::{Conflicting, Lookup, Sized, Usual};

/// Where one upload is.
const UPLOAD: &str = "/api/admin/uploads/{uploadId}";

pub(super) fn routes() -> Vec<(&'static str, MethodRouter<State>)> {
    vec![
        ("/api/admin/events/{id}/uploads", post(create)),
        (UPLOAD, head(show).patch(append).delete(cancel)),
    ]
}

#[utoipa::path(
    post, path = "/api/admin/events/{id}/uploads", tag = "operations",
    operation_id = "adminCreateEventUpload",
    summary = "Begin to send the file of any event in pieces (tus 1.0)",
    security(("adminKey" = []), ("adminBearer" = [])),
    params(("id" = String, Path, description = "Event id.")),
    responses((status = 201, description = "`Location` says where the pieces go."), Usual, Lookup, Sized,
        Conflicting, Tus),
)]
pub(in crate::control) async fn create(sender: Sender) -> Answer {
    super::begin(sender, UPLOAD).await
}

#[utoipa::path(
    head, path = "/api/admin/uploads/{uploadId}", tag = "operations", operation_id = "adminShowUpload",
    summary = "How much of a file has come", security(("adminKey" = []), ("adminBearer" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    responses((status = 200, description = "`Upload-Offset` says how much."), Usual, Lookup, Tus),
)]
pub(in crate::control) async fn show(sender: Sender) -> Answer {
    super::show(sender).await
}

#[utoipa::path(
    patch, path = "/api/admin/uploads/{uploadId}", tag = "operations", operation_id = "adminAppendToUpload",
    summary = "Send a piece of a file (tus 1.0)", security(("adminKey" = []), ("adminBearer" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    request_body(content = inline(Piece), content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "`Upload-Offset` says how much is there now."), Usual, Lookup,
        Sized, Conflicting, Tus),
)]
pub(in crate::control) async fn append(sender: Sender) -> Answer {
    super::append(sender).await
}

#[utoipa::path(
    delete, path = "/api/admin/uploads/{uploadId}", tag = "operations", operation_id = "adminCancelUpload",
    summary = "Give up an upload that is not finished", security(("adminKey" = []), ("adminBearer" = [])),
    params(("uploadId" = String, Path, description = "Upload id.")),
    responses((status = 204, description = "It is gone."), Usual, Lookup, Conflicting, Tus),
)]
pub(in crate::control) async fn cancel(sender: Sender) -> Answer {
    super::cancel(sender).await
}
