using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>A notebook without outputs, opened in a real browser and run through the kernel: its figures are there as pixels, and where the data says.</summary>
/// <remarks>
/// Jupyter Notebook 6 serves on the loopback alone, with a token. The page is told to run all cells, as its menu does. The expected heights of
/// the bars are the values in the committed notebook, not what the page's own SVG says of itself.
/// </remarks>
[Collection("kernel")]
public sealed class BrowserTests(JupyterForTests jupyter) : IClassFixture<JupyterForTests>
{
    private const string File02 = "02-quantize-sixteen-weights.ipynb", Title = "Error of each weight, in steps";
    private const int Blue = 0x0072b2, Line = 0x5f6670, Background = 0xffffff; // of Display/Pictures/Palette.cs

    [Fact]
    public async Task A_notebook_shows_its_figures_in_a_browser()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the browser is started through a shell");
        Assert.SkipUnless(Browser.Program is not null, "no Chromium on the PATH: install chromium (Debian) to test the figures in a browser");
        Assert.SkipUnless(HasNotebook(), "no Jupyter Notebook 6 on the PATH: install jupyter-notebook (Debian) to test the figures in a browser");
        _ = JupyterForTests.Python;
        jupyter.Install();
        var (port, token) = (FreePort(), Convert.ToHexString(RandomNumberGenerator.GetBytes(16)));
        using var server = Process.Start(Server(port, token))!;
        var (output, error) = (server.StandardOutput.ReadToEndAsync(TestContext.Current.CancellationToken), server.StandardError.ReadToEndAsync(TestContext.Current.CancellationToken));
        try
        {
            await Answers($"http://127.0.0.1:{port}/api?token={token}");
            string address = $"http://127.0.0.1:{port}/notebooks/notebooks/{File02}?token={token}";
            await using var browser = await Browser.Open(address, Path.Combine(jupyter.Folder, "profile"), 1400, 1000);
            await RunAll(browser);
            Assert.Single(jupyter.Engines());
            await Figures(browser);
        }
        finally
        {
            // Asked to end, it ends its kernels too; one that does not listen is ended with what it started.
            using (var kill = Process.Start("kill", ["-TERM", $"{server.Id}"])) await kill.WaitForExitAsync(TestContext.Current.CancellationToken);
            if (!server.WaitForExit(TimeSpan.FromSeconds(15))) server.Kill(entireProcessTree: true);
            TestContext.Current.TestOutputHelper?.WriteLine(await output + await error);
        }
        await jupyter.NoEngineIsLeft();
    }

    [Fact]
    public async Task A_figure_of_the_book_reacts_to_hover_and_zoom_without_a_network()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "the browser is started through a shell");
        Assert.SkipUnless(Browser.Program is not null, "no Chromium on the PATH: install chromium (Debian) to test the figures in a browser");
        string book = Directory.CreateDirectory(Path.Combine(jupyter.Folder, "book")).FullName;
        Book.Write([Notebook.Load(Repository.PathOf("notebooks", File02))], [Repository.PathOf("notebooks")], book);
        await using var browser = await Browser.Open($"file://{book}/{Path.ChangeExtension(File02, ".html")}", Path.Combine(jupyter.Folder, "book-profile"), 1000, 900);
        const string plot = "[...document.querySelectorAll('.js-plotly-plot')].find(one => one._fullData[0].type == 'bar')";
        await browser.Until($"{plot}.querySelector('.nsewdrag')", TimeSpan.FromSeconds(30));
        await browser.Evaluate($"{plot}.scrollIntoView({{block: 'center'}})");
        var box = (await browser.Evaluate($"(() => {{ const box = {plot}.querySelector('.nsewdrag').getBoundingClientRect(); return {{x: box.x, y: box.y, width: box.width, height: box.height}}; }})()"))!;
        (double X, double Y) At(double right, double down) => ((double)box["x"]! + (right * (double)box["width"]!), (double)box["y"]! + (down * (double)box["height"]!));
        // The first bar stands at the left, and is tall: a pointer over its foot is told its value.
        await browser.Pointer(held: false, At(0.2, 0.9), At(0.03, 0.95), At(0.031, 0.95));
        await browser.Until($"{plot}.querySelectorAll('.hoverlayer .hovertext').length > 0", TimeSpan.FromSeconds(10));
        string before = (string)(await browser.Evaluate($"JSON.stringify({plot}._fullLayout.xaxis.range)"))!;
        await browser.Pointer(held: true, At(0.25, 0.5), At(0.4, 0.52), At(0.6, 0.5));
        await browser.Until($"JSON.stringify({plot}._fullLayout.xaxis.range) != '{before}'", TimeSpan.FromSeconds(10));
    }

    private static async Task RunAll(Browser browser)
    {
        await browser.Until("Jupyter.notebook.kernel.is_connected() && document.querySelector('.kernel_idle_icon')", TimeSpan.FromSeconds(90));
        Assert.Equal(0, (int)(await browser.Evaluate("document.querySelectorAll('.output img[alt]').length"))!);
        await browser.Evaluate("Jupyter.notebook.execute_all_cells()");
        await browser.Until("Jupyter.notebook.get_cells().filter(cell => cell.cell_type == 'code' && cell.get_text().trim()).every(cell => typeof cell.input_prompt_number == 'number')", TimeSpan.FromMinutes(2));
    }

    private static async Task Figures(Browser browser)
    {
        string committed = File.ReadAllText(Repository.PathOf("notebooks", File02));
        int expected = Regex.Count(committed, "data:image/svg");
        Assert.Equal(expected, (int)(await browser.Evaluate("document.querySelectorAll('.output img[alt]').length"))!);
        for (int i = 0; i < expected; i++)
        {
            var figure = await browser.Evaluate($$"""
                (() => { const img = document.querySelectorAll('.output img[alt]')[{{i}}]; img.scrollIntoView({block: 'center'});
                         const box = img.getBoundingClientRect(); return {title: img.getAttribute('alt'), x: box.x, y: box.y, width: box.width, height: box.height}; })()
                """);
            string title = (string)figure!["title"]!;
            double[] box = [.. new[] { "x", "y", "width", "height" }.Select(name => (double)figure[name]!)];
            byte[] png = await browser.Screenshot(box[0], box[1], box[2], box[3]);
            Keep(title, png);
            var pixels = Pixels.Decode(png);
            Painted(title, pixels);
            if (title == Title) Bars(pixels, Values(committed));
        }
    }

    // Every figure: a background that leaves room, and ink and colours on it.
    private static void Painted(string title, Pixels pixels)
    {
        Assert.True(pixels.Width >= 300 && pixels.Height >= 100, $"{title}: {pixels.Width} x {pixels.Height} pixels");
        double background = pixels.All.Count(pixel => Pixels.IsNear(pixel, Background, 2)) / (double)(pixels.Width * pixels.Height);
        Assert.InRange(background, 0.1, 0.99);
        Assert.True(pixels.All.Distinct().Count() > 20, $"{title}: letters and edges alone have more than 20 colours");
    }

    private static void Bars(Pixels pixels, double[] values)
    {
        Assert.Equal((720, 400), (pixels.Width, pixels.Height)); // at its own size, so that a pixel is a unit of the drawing
        int[] heights = [.. Enumerable.Range(0, pixels.Width).Select(x => Enumerable.Range(0, pixels.Height).Count(y => Pixels.IsNear(pixels[x, y], Blue)))];
        const int Square = 13; // the legend's is 12 pixels high
        var bars = new List<(int Start, int Width, int Height)>();
        for (int x = 0; x < heights.Length; x++)
            if (heights[x] > Square && (x == 0 || heights[x - 1] <= Square))
                bars.Add((x, heights.Skip(x).TakeWhile(height => height > Square).Count(), heights[x + 3]));
        int[] shown = [.. Enumerable.Range(0, values.Length).Where(i => values[i] > 0.02)];
        Assert.Equal(15, shown.Length); // one of the sixteen weights is met exactly and has no bar
        Assert.Equal(shown.Length, bars.Count);
        double step = (bars[^1].Start - bars[0].Start) / (double)(shown[^1] - shown[0]), unit = bars.Max(bar => bar.Height) / values.Max();
        Assert.InRange(unit * values.Max(), 250, 320); // the tallest fills the frame
        for (int k = 0; k < bars.Count; k++)
        {
            Assert.InRange(bars[k].Width, 28, 31);
            Assert.InRange(bars[k].Start - bars[0].Start - (step * (shown[k] - shown[0])), -1.5, 1.5); // pixels; the exact one leaves a gap
            Assert.InRange(bars[k].Height - (unit * values[shown[k]]), -2.5, 2.5); // pixels: rounding at both ends, and the line across the tallest
        }
        double share = pixels.All.Count(pixel => Pixels.IsNear(pixel, Blue)) / (double)(pixels.Width * pixels.Height);
        Assert.InRange(share, 0.2, 0.4);
        Assert.True(pixels.All.Count(pixel => Pixels.IsNear(pixel, Line, 40)) > 100, "the line at half a step, dashed over the whole width");
    }

    private static double[] Values(string committed)
    {
        var figures = JsonNode.Parse(committed)!["cells"]!.AsArray().SelectMany(cell => cell!["outputs"] as JsonArray ?? []).Select(output => output!["data"]?["application/vnd.plotly.v1+json"]);
        var bars = figures.Single(figure => (string?)figure?["layout"]?["title"]?["text"] == Title)!["data"]![0]!;
        return [.. bars["y"]!.AsArray().Select(value => (double)value!)];
    }

    // For a person to look at: the environment variable names a folder.
    private static void Keep(string title, byte[] png)
    {
        if (Environment.GetEnvironmentVariable("NEURONQUANT_SCREENSHOTS") is { Length: > 0 } folder)
            File.WriteAllBytes(Path.Combine(Directory.CreateDirectory(folder).FullName, $"{Regex.Replace(title, "\\W+", "-")}.png"), png);
    }

    private ProcessStartInfo Server(int port, string token)
    {
        string tree = Directory.CreateDirectory(Path.Combine(jupyter.Folder, "tree")).FullName;
        foreach (string folder in new[] { "lib", "data" }) Directory.CreateSymbolicLink(Path.Combine(tree, folder), Repository.PathOf(folder));
        var notebook = Notebook.Load(Repository.PathOf("notebooks", File02));
        foreach (var cell in notebook.Cells.Where(cell => cell.IsCode)) cell.SetOutputs(null, []);
        notebook.Save(Path.Combine(Directory.CreateDirectory(Path.Combine(tree, "notebooks")).FullName, File02));
        return jupyter.Start("jupyter-notebook", "--no-browser", "--allow-root", "--ip=127.0.0.1", $"--port={port}", "--port-retries=0",
            $"--NotebookApp.token={token}", "--NotebookApp.enable_mathjax=False", $"--notebook-dir={tree}");
    }

    private static bool HasNotebook() => JupyterForTests.Succeeds("/bin/sh", "-c", "jupyter-notebook --version | grep -q '^6[.]'");

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static async Task Answers(string address)
    {
        using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false });
        for (int i = 0; i < 300; i++, await Task.Delay(200))
        {
            try
            {
                if (JsonNode.Parse(await client.GetStringAsync(address))?["version"] is not null) return;
            }
            catch (HttpRequestException)
            {
                continue; // not listening yet
            }
        }
        Assert.Fail("Jupyter Notebook did not answer within a minute.");
    }
}
