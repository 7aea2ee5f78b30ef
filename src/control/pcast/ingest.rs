//! `ingestOptions` of a new channel, read and described (contract, channels, section 2).

use utoipa::ToSchema;

use super::Error;
use super::body::Fields;
use crate::base::source::Source;
use crate::store::{IngestOptions, SourceUri, Span};

/// Defaults of a channel's ingest.
#[derive(ToSchema)]
#[schema(as = IngestOptions)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "bodies are read field by field")]
pub(in crate::control) struct IngestFields {
    /// Capabilities of RTMP publishes that name none; without any, the gateway's default. Words of at most 256
    /// bytes.
    #[schema(max_items = 64)]
    capabilities: Option<Vec<String>>,
    /// Tags of RTMP publishes that have none, of at most 256 bytes each.
    #[schema(max_items = 64)]
    tags: Option<Vec<String>>,
    /// Name of the members; automatic without it.
    #[schema(max_length = 256)]
    screen_name: Option<String>,
    /// Frames per second of a pulled source, at most.
    #[schema(exclusive_minimum = 0.0)]
    max_fps: Option<f64>,
    /// Jitter buffer before decoding: milliseconds, or a text with a unit.
    #[schema(value_type = Option<SpanField>)]
    buffer: Option<()>,
    /// Milliseconds to skip at the start of a pulled source.
    #[schema(minimum = 0.0)]
    preroll_skip_duration: Option<f64>,
    /// Jitter buffer after decoding, at least `buffer`.
    #[schema(value_type = Option<SpanField>)]
    jitter_buffer: Option<()>,
    /// What the channel pulls: `srt://host:port?…`. Shown without its credentials.
    source_uri: Option<String>,
}

/// Milliseconds, or a text with a unit.
#[derive(ToSchema)]
#[schema(as = Span)]
#[serde(untagged)]
#[expect(dead_code, reason = "bodies are read field by field")]
enum SpanField {
    /// Milliseconds.
    Millis(f64),
    /// With a unit.
    Text(String),
}

/// The options of a body.
pub(super) fn parse(mut fields: Fields) -> Result<IngestOptions, Error> {
    let source_name = fields.name("sourceUri");
    let source_uri = fields.text("sourceUri")?;
    // Its sentence hides credentials.
    let refused = |error| Error::Bad(format!("{source_name} is {error}"));
    let source = source_uri.as_deref().map(Source::parse).transpose();
    source.map_err(refused)?;
    let max_fps = fields.number("maxFps")?;
    if max_fps
        .as_ref()
        .is_some_and(|fps| fps.as_f64() == Some(0.0))
    {
        return Err(Error::Bad(format!(
            "{} is not above 0",
            fields.name("maxFps")
        )));
    }
    Ok(IngestOptions {
        capabilities: fields.words("capabilities")?,
        tags: fields.words("tags")?,
        screen_name: fields.line("screenName")?,
        max_fps,
        buffer: span(&mut fields, "buffer")?,
        preroll_skip_duration: fields.number("prerollSkipDuration")?,
        jitter_buffer: span(&mut fields, "jitterBuffer")?,
        source_uri: source_uri.map(SourceUri::new),
    })
}

fn span(fields: &mut Fields, name: &str) -> Result<Option<Span>, Error> {
    if fields.is_text(name) {
        return Ok(fields.line(name)?.map(Span::Text));
    }
    let full = fields.name(name);
    let wrong = |_| Error::Bad(format!("{full} is neither a number nor a text"));
    Ok(fields.number(name).map_err(wrong)?.map(Span::Millis))
}
