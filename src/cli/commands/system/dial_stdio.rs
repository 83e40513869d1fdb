//! `hoist system dial-stdio`

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

use crate::cli::{Context, Exit, Outcome, client::Host};

/// Joins standard input and output to the daemon's socket, as a client at the other end of SSH needs it.
pub async fn run(cx: &Context) -> Outcome {
    // Starts the daemon where none runs.
    cx.client.get("/_ping").done().await?;
    match cx.client.host() {
        Host::Unix(path) => join(UnixStream::connect(path).await?.into_split()).await,
        Host::Tcp(address) => join(TcpStream::connect(address).await?.into_split()).await,
    }
}

async fn join<R, W>((mut reader, mut writer): (R, W)) -> Outcome
where
    R: AsyncReadExt + Unpin + Send + 'static,
    W: AsyncWriteExt + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let _ = tokio::io::copy(&mut tokio::io::stdin(), &mut writer).await;
        let _ = writer.shutdown().await;
    });
    tokio::io::copy(&mut reader, &mut tokio::io::stdout()).await?;
    tokio::io::stdout().flush().await?;
    Ok(Exit::OK)
}
