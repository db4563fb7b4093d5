using System.Diagnostics;
using System.Net.WebSockets;
using System.Text.Json;
using System.Text.Json.Nodes;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>A headless Chromium with one page, driven over the DevTools protocol: JSON commands on a web socket, one answer each.</summary>
/// <remarks>The profile is fresh and the browser asks nothing of the network but the page it is sent to. Events of the page are not listened to.</remarks>
internal sealed class Browser : IAsyncDisposable
{
    private static readonly string[] Flags =
    [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb", "--remote-debugging-port=0",
    ];

    private static readonly Lazy<string?> Found = new(() =>
        new[] { "chromium", "chromium-browser", "google-chrome" }.FirstOrDefault(program => JupyterForTests.Succeeds(program, "--version")));

    private readonly Process _process;
    private readonly ClientWebSocket _socket = new();
    private string? _session;
    private int _number;

    private Browser(Process process) => _process = process;

    /// <summary>The program; null when there is none.</summary>
    public static string? Program => Found.Value;

    /// <summary>Starts the browser with its profile in a folder, and opens a page of that many pixels.</summary>
    public static async Task<Browser> Open(string address, string profile, int width, int height)
    {
        // Nobody reads what it says, so it must not wait for a reader.
        var start = new ProcessStartInfo("/bin/sh", ["-c", "exec \"$0\" \"$@\" >/dev/null 2>&1", Program!, .. Flags, $"--user-data-dir={profile}", "about:blank"]);
        var browser = new Browser(Process.Start(start)!);
        try
        {
            await browser._socket.ConnectAsync(await Address(Path.Combine(profile, "DevToolsActivePort")), TestContext.Current.CancellationToken);
            var target = await browser.Ask("Target.createTarget", new JsonObject { ["url"] = address });
            var attached = await browser.Ask("Target.attachToTarget", new JsonObject { ["targetId"] = (string)target["targetId"]!, ["flatten"] = true });
            browser._session = (string)attached["sessionId"]!;
            await browser.Ask("Emulation.setDeviceMetricsOverride", new JsonObject { ["width"] = width, ["height"] = height, ["deviceScaleFactor"] = 1, ["mobile"] = false });
            return browser;
        }
        catch
        {
            await browser.DisposeAsync();
            throw;
        }
    }

    /// <summary>The value of an expression in the page.</summary>
    public async Task<JsonNode?> Evaluate(string expression)
    {
        var answer = await Ask("Runtime.evaluate", new JsonObject { ["expression"] = expression, ["returnByValue"] = true, ["awaitPromise"] = true });
        if (answer["exceptionDetails"] is { } failure) throw new InvalidOperationException($"{expression}: {failure.ToJsonString()}");
        return answer["result"]!["value"]?.DeepClone();
    }

    /// <summary>Waits until an expression is true; an expression that throws is not true yet.</summary>
    public async Task Until(string expression, TimeSpan limit)
    {
        for (var clock = Stopwatch.StartNew(); clock.Elapsed < limit; await Task.Delay(200, TestContext.Current.CancellationToken))
            if ((bool?)await Evaluate($"(() => {{ try {{ return Boolean({expression}); }} catch (error) {{ return false; }} }})()") == true) return;
        Assert.Fail($"not within {limit}: {expression}");
    }

    /// <summary>Moves the pointer through places of the page, with the button held where asked; it is released at the last.</summary>
    public async Task Pointer(bool held, params (double X, double Y)[] places)
    {
        JsonObject Event(string type, (double X, double Y) place) => new() { ["type"] = type, ["x"] = place.X, ["y"] = place.Y, ["button"] = held ? "left" : "none", ["buttons"] = held ? 1 : 0, ["clickCount"] = held ? 1 : 0 };
        await Ask("Input.dispatchMouseEvent", Event("mouseMoved", places[0]));
        if (held) await Ask("Input.dispatchMouseEvent", Event("mousePressed", places[0]));
        foreach (var place in places[1..]) await Ask("Input.dispatchMouseEvent", Event("mouseMoved", place));
        if (held) await Ask("Input.dispatchMouseEvent", Event("mouseReleased", places[^1]));
    }

    /// <summary>A part of the page as it is painted, as a PNG.</summary>
    public async Task<byte[]> Screenshot(double x, double y, double width, double height)
    {
        var clip = new JsonObject { ["x"] = x, ["y"] = y, ["width"] = width, ["height"] = height, ["scale"] = 1 };
        return Convert.FromBase64String((string)(await Ask("Page.captureScreenshot", new JsonObject { ["format"] = "png", ["clip"] = clip }))["data"]!);
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        if (!_process.HasExited) _process.Kill(entireProcessTree: true);
        await _process.WaitForExitAsync();
        _process.Dispose();
    }

    // The browser writes its port and the socket's path when it listens.
    private static async Task<Uri> Address(string file)
    {
        for (int i = 0; i < 300; i++, await Task.Delay(100))
            if (File.Exists(file) && await File.ReadAllLinesAsync(file) is [{ Length: > 0 } port, { Length: > 0 } path, ..]) return new Uri($"ws://127.0.0.1:{port}{path}");
        throw new TimeoutException($"{Program} did not listen within 30 s.");
    }

    private async Task<JsonObject> Ask(string method, JsonObject parameters)
    {
        var request = new JsonObject { ["id"] = ++_number, ["method"] = method, ["params"] = parameters };
        if (_session is not null) request["sessionId"] = _session;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        limit.CancelAfter(TimeSpan.FromSeconds(60));
        await _socket.SendAsync(JsonSerializer.SerializeToUtf8Bytes(request), WebSocketMessageType.Text, true, limit.Token);
        while (true)
        {
            var answer = JsonNode.Parse(await Receive(limit.Token))!;
            if ((int?)answer["id"] != _number) continue;
            return answer["result"]?.AsObject() ?? throw new InvalidOperationException($"{method}: {answer.ToJsonString()}");
        }
    }

    private async Task<byte[]> Receive(CancellationToken cancellation)
    {
        using var message = new MemoryStream();
        var buffer = new byte[1 << 16];
        while (true)
        {
            var part = await _socket.ReceiveAsync(buffer, cancellation);
            message.Write(buffer, 0, part.Count);
            if (part.EndOfMessage) return message.ToArray();
        }
    }
}
