//! The progress page of a pod. Best effort: a page that cannot be read changes nothing.

use std::time::Duration;

use obelysk_api::job::Progress;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest page.
const BYTES_MAX: u64 = 4096;
/// Longest wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// Read the page of a pod at an address.
pub async fn read(ip: &str, port: i32) -> Option<Progress> {
    let page = tokio::time::timeout(PATIENCE, async {
        let mut connection = TcpStream::connect(format!("{ip}:{port}")).await.ok()?;
        connection.write_all(b"GET /progress HTTP/1.1\r\nhost: pod\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut page = String::new();
        connection.take(BYTES_MAX).read_to_string(&mut page).await.ok()?;
        Some(page)
    });
    let page = page.await.ok()??;
    let (_, body) = page.split_once("\r\n\r\n")?;
    serde_json::from_str(body).ok()
}
