using NeuronQuant.CommandLine.Notebooks;
using Xunit;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>Reading and writing keeps everything that this program does not know.</summary>
public class NotebookFileTests
{
    private const string Kept =
        """
        {
         "cells": [
          {
           "cell_type": "markdown",
           "id": "intro",
           "metadata": {
            "editor": {
             "unknown": [
              1.50,
              "ü – ✓"
             ]
            }
           },
           "source": [
            "# Title & <more>\n",
            "\n",
            "text"
           ]
          },
          {
           "cell_type": "code",
           "execution_count": null,
           "id": "a1",
           "metadata": {},
           "outputs": [],
           "source": [
            "1 + 1"
           ]
          }
         ],
         "metadata": {
          "kernelspec": {
           "display_name": ".NET (C#)",
           "language": "C#",
           "name": ".net-csharp"
          }
         },
         "nbformat": 4,
         "nbformat_minor": 5
        }

        """;

    [Fact]
    public void WritingWhatWasReadChangesNothing() => Assert.Equal(Kept, Notebook.Parse(Kept, "x.ipynb").ToJson());

    [Fact]
    public void TheTitleIsTheFirstHeading() => Assert.Equal("Title & <more>", Notebook.Parse(Kept, "x.ipynb").Title);

    [Fact]
    public void OlderNotebooksAreGivenIdentifiers()
    {
        var notebook = Notebook.Parse("""{"cells":[{"cell_type":"markdown","metadata":{},"source":"one\ntwo"}],"metadata":{},"nbformat":4,"nbformat_minor":2}""", "x.ipynb");
        Assert.Equal("cell-1", notebook.Cells[0].Id);
        Assert.Equal("one\ntwo", notebook.Cells[0].Source);
        Assert.Contains("\"nbformat_minor\": 5", notebook.ToJson(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("no json", "is not JSON")]
    [InlineData("[]", "not a notebook of nbformat 4")]
    [InlineData("""{"nbformat":3,"worksheets":[]}""", "not a notebook of nbformat 4")]
    [InlineData("""{"nbformat":4,"cells":[1]}""", "not a notebook of nbformat 4")]
    public void WhatIsNoNotebookIsSaid(string text, string message) =>
        Assert.Contains(message, Assert.Throws<NotebookException>(() => Notebook.Parse(text, "x.ipynb")).Message, StringComparison.Ordinal);
}
