//! Calls that are good, which the tests make bad.

use super::*;

/// A request that is good, and fields of its body that are texts.
pub(super) struct Good {
    /// Method and path; `{id}` stands for a thing of the user's.
    pub(super) what: &'static str,
    pub(super) body: Value,
    pub(super) texts: &'static [&'static str],
}

fn good(what: &'static str, body: Value, texts: &'static [&'static str]) -> Good {
    Good { what, body, texts }
}

/// Every call that reads a body, with all fields that it knows.
pub(super) fn all() -> Vec<Good> {
    let cast = json!({"title": "t", "description": "d", "visibility": "public", "tags": ["a"],
        "metadata": {"k": "v"}, "maxParticipants": 5});
    let contact = json!({"phoneNumber": "+1 212 555 0100", "displayName": "d", "firstName": "f",
        "lastName": "l", "email": "e@example.test"});
    let file = json!({"name": "n", "description": "d", "mimeType": "m", "filePathOriginal": "p",
        "filePathThumbnail": "t", "fileSizeBytes": 1, "categoryName": "c", "tags": ["a"],
        "location": "l", "forMessageId": "m", "forCallId": "c", "forContactID": "k"});
    let user = json!({"username": "u", "email": "u@example.test", "password": "s3cretpass",
        "phoneNumber": "5", "firstName": "f", "lastName": "l", "displayName": "d"});
    let words = &["title", "description", "visibility"];
    let contacts = json!({ "contacts": [contact.clone()] });
    let names = &[
        "phoneNumber",
        "displayName",
        "firstName",
        "lastName",
        "email",
    ];
    vec![
        good("POST /api/broadcasts", cast.clone(), words),
        good("POST /api/v1/sessions", cast, words),
        good(
            "PATCH /api/v1/sessions/{cast}",
            json!({"title": "t", "description": "d", "tags": ["a"],
            "metadata": {}, "status": "created"}),
            &["title", "description", "status"],
        ),
        good(
            "PUT /api/v1/sessions/{cast}",
            json!({"title": "t"}),
            &["title"],
        ),
        good(
            "POST /api/broadcasts/{cast}/status",
            json!({"status": "created"}),
            &["status"],
        ),
        good(
            "POST /api/broadcasts/{cast}/viewer-count",
            json!({"viewerCount": 1}),
            &[],
        ),
        good(
            "POST /api/v1/sessions/{cast}/reactions",
            json!({"type": "heart"}),
            &["type"],
        ),
        good(
            "POST /api/users/signup",
            user,
            &[
                "username",
                "email",
                "password",
                "phoneNumber",
                "firstName",
                "lastName",
                "displayName",
            ],
        ),
        good(
            "POST /api/users/login",
            json!({"email": "e", "password": "p"}),
            &["email", "password"],
        ),
        good(
            "PUT /api/users/profile",
            json!({"username": "n", "firstName": "f", "lastName": "l",
            "avatarUrl": "a", "email": "n@example.test", "phoneNumber": "5"}),
            &[
                "username",
                "firstName",
                "lastName",
                "avatarUrl",
                "email",
                "phoneNumber",
            ],
        ),
        good(
            "POST /api/users/change-password",
            json!({"currentPassword": "s3cretpass",
            "newPassword": "s3cretpass"}),
            &["currentPassword", "newPassword"],
        ),
        good("POST /api/contacts/sync", contacts, &[]),
        good("PUT /api/contacts/{contact}", contact, names),
        good(
            "POST /api/files",
            file,
            &[
                "name",
                "description",
                "mimeType",
                "filePathOriginal",
                "filePathThumbnail",
                "categoryName",
                "location",
                "forMessageId",
                "forCallId",
                "forContactID",
            ],
        ),
        good(
            "PUT /api/files/{file}",
            json!({"name": "n", "description": "d", "tags": ["a"],
            "location": "l", "categoryName": "c"}),
            &["name", "description", "location", "categoryName"],
        ),
        good(
            "POST /api/admin/sdk-clients",
            json!({"name": "n", "contactEmail": "e",
            "agreeTerms": true, "website": "w", "description": "d", "useCase": "u"}),
            &["name", "contactEmail", "website", "description", "useCase"],
        ),
    ]
}
