using Plotly.NET;

namespace NeuronQuant.Display;

/// <summary>The look of every chart: white ground, legible sizes, the colours of <see cref="Palette"/>, legend above, 720 by 400 pixels.</summary>
/// <remarks>Set once as Plotly.NET's default template, so that a chart that a cell makes with Plotly.NET alone has it too.</remarks>
internal static class ChartTheme
{
    /// <summary>Width and height of a chart that says nothing, in pixels.</summary>
    public const int Width = 720, Height = 400;

    /// <summary>Sets the defaults; a second call changes nothing.</summary>
    public static void Register()
    {
        Defaults.DefaultTemplate = Template();
        (Defaults.DefaultWidth, Defaults.DefaultHeight) = (Width, Height);
    }

    private static Template Template()
    {
        object axis = new
        {
            gridcolor = Palette.Grid,
            linecolor = Palette.Axis,
            showline = true,
            ticks = "outside",
            tickcolor = Palette.Axis,
            zeroline = false,
            automargin = true,
            title = new { standoff = 8 },
        };
        var layout = new Layout();
        layout.Set("font", new { family = "system-ui,-apple-system,'Segoe UI',Arial,sans-serif", size = 13, color = Palette.Ink });
        layout.Set("paper_bgcolor", "white").Set("plot_bgcolor", "white").Set("colorway", Palette.AllSeries).Set("xaxis", axis).Set("yaxis", axis);
        layout.Set("title", new { x = 0.02, xref = "container", y = 0.97, yref = "container", yanchor = "top", font = new { size = 16 } });
        layout.Set("margin", new { l = 60, r = 20, t = 80, b = 50 }).Set("legend", new { orientation = "h", x = 0, y = 1.02, yanchor = "bottom" }).Set("bargap", 0.25);
        var template = new Template();
        template.SetProperty("layout", layout);
        return template;
    }
}
