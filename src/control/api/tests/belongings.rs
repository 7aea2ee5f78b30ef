//! What belongs to users: it goes with them, and is for what is theirs.

use super::*;
use crate::control::api::leftover::Leftovers;

const DOCUMENT: &str = "%PDF-1.4\n1 0 obj\n<<>>\nendobj\n%%EOF\n";

/// Sends a document; the file as it is shown, or the refusal.
async fn upload(bench: &Bench, headers: &[(&str, &str)], field: (&str, &str)) -> Answer {
    let (name, value) = field;
    let body = format!(
        "--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n\
         --edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.pdf\"\r\n\r\n\
         {DOCUMENT}\r\n--edge--\r\n"
    );
    let mut headers = headers.to_vec();
    headers.push(("content-type", "multipart/form-data; boundary=edge"));
    let (code, bytes) = bench.raw("POST", "/api/files", &headers, body).await;
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn with_a_user_go_its_tokens_its_contacts_and_the_bytes_of_its_files() {
    let bench = clients().await;
    let folder = bench.state.setup().data.join("uploads");
    let kept = || std::fs::read_dir(&folder).unwrap().count();
    let setup = bench.state.setup();
    let (files, films) = (setup.files.clone(), setup.films.clone());
    let mut leftovers = Leftovers::new(bench.store.clone(), files, films);
    let mut paths = Vec::new();
    let (jane, john) = (
        person(&bench, "jane", "").await,
        person(&bench, "john", "").await,
    );
    for person in [&jane, &john] {
        let token = person.token.strip_prefix("authorization: ").unwrap();
        let (code, file) = upload(&bench, &[("authorization", token)], ("description", "d")).await;
        assert_eq!(code, 200, "{file}");
        paths.push(file["filePathOriginal"].as_str().unwrap().to_owned());
        let contacts = json!({"contacts": [{"phoneNumber": "+1 212 555 0147"}]});
        let (code, _) = person
            .call(&bench, "POST /api/contacts/sync", contacts)
            .await;
        assert_eq!(code, 200);
    }
    assert_eq!(
        jane.call(&bench, "DELETE /api/users/profile", "").await.0,
        200
    );
    assert_eq!(jane.call(&bench, "GET /api/contacts", "").await.0, 401);
    let left = bench.store.every_row().await;
    // Of its id only what others wrote of it may be there.
    let of_jane: Vec<_> = left.iter().filter(|line| line.contains(&jane.id)).collect();
    assert!(of_jane.is_empty(), "{of_jane:?}");
    let (code, _) = bench.raw("GET", &paths[0], &NOBODY, "").await;
    assert_eq!(code, 404);
    // What may only just have come stays for one more look.
    leftovers.look().await.unwrap();
    assert_eq!(kept(), 2);
    leftovers.look().await.unwrap();
    assert_eq!(kept(), 1);
    leftovers.look().await.unwrap();
    let (code, bytes) = bench.raw("GET", &paths[1], &NOBODY, "").await;
    assert_eq!((code, bytes), (200, DOCUMENT.as_bytes().to_vec()));
}

#[tokio::test]
async fn a_file_is_for_a_broadcast_of_whoever_may_change_that() {
    let bench = clients().await;
    let key = "x-api-key: pk_one";
    let (jane, john) = (
        person_of(&bench, &[key], "jane", "").await,
        person_of(&bench, &[key], "john", "").await,
    );
    let stranger = person_of(&bench, &["x-api-key: pk_two"], "jim", "").await;
    let (code, cast) = jane
        .call(&bench, "POST /api/broadcasts", json!({"title": "t"}))
        .await;
    assert_eq!(code, 200);
    for id in ["id", "streamId", "shortId"] {
        let id = cast[id].as_str().unwrap();
        let record = json!({"name": "n", "mimeType": "image/png", "filePathOriginal": "p",
            "fileSizeBytes": 1, "tags": ["poster"], "forBroadcastId": id});
        for (who, with_key, expected) in [
            (&jane, false, 200),
            (&john, false, 403),
            (&john, true, 200),
            // For them it is a text that names nothing.
            (&stranger, false, 200),
        ] {
            let token = who.token.strip_prefix("authorization: ").unwrap();
            let mut headers = vec![("authorization", token)];
            headers.extend(with_key.then_some(KEY[0]));
            let (code, answer) = bench.api("POST", "/api/files", &headers, &record).await;
            assert_eq!(code, expected, "{id}: {answer}");
            let (code, answer) = upload(&bench, &headers, ("forBroadcastId", id)).await;
            assert_eq!(code, expected, "{id}: {answer}");
        }
        let path = format!("GET /api/files/forbroadcast/{id}");
        let (_, files) = jane.call(&bench, &path, "").await;
        let of = |person: &Person| {
            let files = files.as_array().unwrap().iter();
            files.filter(|file| file["userID"] == person.id).count()
        };
        assert_eq!((of(&jane), of(&john), of(&stranger)), (2, 2, 0));
    }
}
