//! `--gpus`: one row of comma-separated values, as Docker's command line has it.

use super::SpecError;
use crate::api::dto::host_config::DeviceRequest;

/// `all`, a number, or `device=ID,driver=NAME,capabilities=…,options=…`; a field in quotes may have commas.
pub fn gpus(text: &str) -> Result<DeviceRequest, SpecError> {
    let fail = |reason: String| SpecError::value("gpus", text, reason);
    let mut request = DeviceRequest::default();
    let mut capabilities = vec!["gpu".to_owned()];
    let count = |value: &str| match value {
        "all" => Ok(-1),
        number => number.parse::<i64>().map_err(|_| fail(format!("{number:?} is not a number of GPUs"))),
    };
    let (mut counted, mut seen) = (false, Vec::new());
    for field in fields(text).ok_or_else(|| fail("a quote has no end".to_owned()))? {
        let Some((key, value)) = field.split_once('=') else {
            // A word alone is a number.
            request.count = count(&field)?;
            counted = true;
            continue;
        };
        if seen.contains(&key.to_owned()) {
            return Err(fail(format!("{key} can be given once: put quotes around a field with commas in its value")));
        }
        seen.push(key.to_owned());
        match key {
            "count" => {
                request.count = count(value)?;
                counted = true;
            }
            "device" => request.device_ids = Some(list(value)),
            "driver" => request.driver = value.to_owned(),
            "capabilities" => capabilities.extend(list(value).into_iter().filter(|one| one != "gpu")),
            "options" => {
                for option in list(value) {
                    let (key, value) = option.split_once('=').unwrap_or((&option, ""));
                    request.options.insert(key.to_owned(), value.to_owned());
                }
            }
            other => {
                return Err(fail(format!(
                    "unknown field {other:?}: there are count, device, driver, capabilities and options; what narrows the \
                     choice, such as a model, is said as \"options=model=h100\", with its quotes"
                )));
            }
        }
    }
    // As Docker has it: options alone mean one device.
    if !counted && request.device_ids.is_none() {
        request.count = 1;
    }
    request.capabilities = Some(vec![capabilities]);
    Ok(request)
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The fields of a row; `None` if a quote has no end.
fn fields(text: &str) -> Option<Vec<String>> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    fields.push(field);
    (!quoted).then_some(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let of = |text: &str| gpus(text).unwrap();
        assert_eq!(of("all").count, -1);
        assert_eq!(of("2").count, 2);
        assert_eq!(of("\"device=0,2\"").device_ids.unwrap(), ["0", "2"]);
        let rich = of("driver=nvidia,\"capabilities=compute,utility\",\"options=share=0.5,mps=true\"");
        assert_eq!((rich.driver.as_str(), rich.count), ("nvidia", 1));
        assert_eq!(rich.capabilities.unwrap(), [["gpu", "compute", "utility"]]);
        assert_eq!(rich.options["share"], "0.5");
        assert_eq!(rich.options["mps"], "true");
        for bad in ["many", "device=0,device=1", "x=1", "\"device=0", "count=x"] {
            assert!(gpus(bad).is_err(), "{bad}");
        }
    }
}
