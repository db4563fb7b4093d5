using Xunit;
using Rust = Tokenizers.DotNet.Tokenizer;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>Hugging Face's Rust library, through Tokenizers.DotNet; tests that need it are skipped where its native library does not load.</summary>
/// <remarks>It adds the post-processor's tokens and leaves special tokens out when it decodes; tokenizer_config.json is not read.</remarks>
internal sealed class RustTokenizer
{
    private readonly Rust _tokenizer;

    private RustTokenizer(Rust tokenizer) => _tokenizer = tokenizer;

    public static RustTokenizer Load(string file)
    {
        try
        {
            return new RustTokenizer(new Rust(file));
        }
        catch (Exception error) when (error is DllNotFoundException or BadImageFormatException or EntryPointNotFoundException)
        {
            Assert.Skip($"The Rust library's runtime does not load here: {error.Message}");
            throw;
        }
    }

    public int[] Encode(string text) => Array.ConvertAll(_tokenizer.Encode(text), id => (int)id);

    public string Decode(int[] ids) => _tokenizer.Decode(Array.ConvertAll(ids, id => (uint)id));
}
