//! How layers are compressed where they are sent or written.

use std::io::{self, BufWriter, Write};

use super::export::OUT;
use super::{Images, blocking};
use crate::error::Error;
use crate::manifest::{Descriptor, media_type};
use crate::pipeline::decompress;
use crate::store::Pin;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LayerCompression {
    /// RFC 1952.
    #[default]
    Gzip,
    /// RFC 8878.
    Zstd,
    /// Not at all.
    Uncompressed,
}

/// How an image's layers look where they are sent or written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LayerForm {
    /// When none is said, what is not compressed is sent with gzip, and written to an archive as it is.
    pub compression: Option<LayerCompression>,
    /// The method's own scale (gzip 0 to 9, zstd 1 to 22); its usual level when none is said.
    pub level: Option<i32>,
    /// Also layers that are compressed in another way already, as those of base images are.
    pub force: bool,
}

impl LayerCompression {
    /// What a layer's media type says; none for what is no layer of a usual kind.
    fn of(kind: &str) -> Option<Self> {
        use media_type::*;
        Some(match kind {
            OCI_LAYER | DOCKER_LAYER => Self::Uncompressed,
            OCI_LAYER_GZIP | DOCKER_LAYER_GZIP => Self::Gzip,
            OCI_LAYER_ZSTD | DOCKER_LAYER_ZSTD => Self::Zstd,
            _ => return None,
        })
    }

    /// The media type of such a layer, in OCI's family.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Gzip => media_type::OCI_LAYER_GZIP,
            Self::Zstd => media_type::OCI_LAYER_ZSTD,
            Self::Uncompressed => media_type::OCI_LAYER,
        }
    }

    /// Writes what `fill` writes, compressed; returns the writer, to which everything was handed.
    pub(super) fn write<W: Write>(
        self,
        level: Option<i32>,
        out: W,
        fill: impl FnOnce(&mut dyn Write) -> Result<(), Error>,
    ) -> Result<W, Error> {
        let fail = |e: io::Error| Error::io("compress", "a layer", e);
        let mut out = BufWriter::with_capacity(OUT, out);
        let mut out = match self {
            Self::Uncompressed => {
                fill(&mut out)?;
                out
            }
            Self::Gzip => {
                let level = level.and_then(|level| u32::try_from(level).ok()).filter(|level| *level <= 9);
                let level = level.map_or_else(flate2::Compression::default, flate2::Compression::new);
                let mut encoder = flate2::write::GzEncoder::new(out, level);
                fill(&mut encoder)?;
                encoder.finish().map_err(fail)?
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level.unwrap_or(0)).map_err(fail)?;
                fill(&mut encoder)?;
                encoder.finish().map_err(fail)?
            }
        };
        out.flush().map_err(fail)?;
        out.into_inner().map_err(|e| fail(e.into_error()))
    }
}

impl Images {
    /// The layer's blob as it is to be sent; one that was made for this only is kept by its pin, and by nothing else.
    pub(super) async fn sent_form(
        &self,
        layer: &Descriptor,
        form: LayerForm,
    ) -> Result<(Descriptor, Option<Pin>), Error> {
        match (form.compression, form.level) {
            (None, _) | (Some(LayerCompression::Gzip), None) if !form.force => self.compressed(layer).await,
            _ => self.in_form(layer, form).await,
        }
    }

    /// The layer's blob in the form that was asked for, if any was.
    pub(super) async fn in_form(
        &self,
        layer: &Descriptor,
        form: LayerForm,
    ) -> Result<(Descriptor, Option<Pin>), Error> {
        let as_it_is = || Ok((layer.clone(), None));
        let (Some(wanted), Some(is)) = (form.compression, LayerCompression::of(&layer.media_type)) else {
            return as_it_is();
        };
        if is == wanted || (is != LayerCompression::Uncompressed && !form.force) {
            return as_it_is();
        }
        let source = self.inner.blobs.open_blob(&layer.digest)?;
        let (writer, pins) = (self.inner.blobs.writer()?, self.inner.pins.clone());
        let (digest, size, pin) = blocking(move || {
            let fail = |e| Error::io("compress", "a layer", e);
            let mut plain = decompress(io::BufReader::with_capacity(OUT, source)).map_err(fail)?;
            let fill = |out: &mut dyn Write| io::copy(&mut plain, out).map(drop).map_err(fail);
            wanted.write(form.level, writer, fill)?.finish_pinned(&pins)
        })
        .await?;
        let docker = layer.media_type.starts_with("application/vnd.docker.");
        let new = Descriptor::new(wanted.media_type(), digest, size);
        Ok((super::save::of_family(new, !docker), Some(pin)))
    }
}
