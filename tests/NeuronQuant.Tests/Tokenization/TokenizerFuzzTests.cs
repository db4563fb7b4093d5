using System.Diagnostics;
using System.Text.Json.Nodes;
using NeuronQuant.Tests.Checkpoints;
using NeuronQuant.Tokenization;
using Xunit;

namespace NeuronQuant.Tests.Tokenization;

/// <summary>
/// tokenizer.json and tokenizer_config.json with parts removed, exchanged, renamed, repeated and replaced, from a fixed seed: each file is read,
/// and then behaves, or is refused by a named error. No other exception, no hang, no gigabytes.
/// </summary>
public class TokenizerFuzzTests
{
    private const int Cases = 5000;
    private const long MostBytes = 256 << 20; // Allocated by one case; the files have some kilobytes.

    private static readonly string[] Texts = ["ab ba  <x>a", "é漢\U0001F600\U00010380 1", "", " \n<s>"];

    private static readonly string[] Values =
    [
        "null", "true", "false", "0", "-1", "1.5", "1e400", "99999999999", "2147483647", "16777215",
        "\"\"", "\"a\"", "\" \"", "\"▁\"", "\"\\u0000\"", "\"\\ud800\"",
        "\"(\"", "\"[a-\\uffff]+\"", "\"a?+\"", "\"(?=a)\"", "\"never\"", "\"LlamaTokenizer\"",
        "\"<x>\"", "[]", "{}", "[[]]", "[null]", "[\"a\",\"b\"]", "{\"a\":{}}",
        "{\"type\":\"Sequence\"}", "{\"content\":\"a\"}", "{\"Regex\":\".\"}", "{\"String\":\"\"}",
    ];

    private static readonly string[] Bases =
    [
        """
        {"version":"1.0","added_tokens":[{"id":5,"content":"<x>","special":true,"rstrip":true,"normalized":false},
        {"id":0,"content":"a","lstrip":true}],
        "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},
        {"type":"Replace","pattern":{"String":" "},"content":"▁"},{"type":"NFC"}]},
        "pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true},
        "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},
        {"Sequence":{"id":"A","type_id":0}}],"pair":[],
        "special_tokens":{"<s>":{"id":"<s>","ids":[4],"tokens":["<s>"]}}},
        "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},
        {"type":"Strip","content":" ","start":1,"stop":0}]},
        "model":{"type":"BPE","dropout":null,"unk_token":"?","fuse_unk":true,"byte_fallback":false,"ignore_merges":false,
        "vocab":{"a":0,"b":1,"▁":2,"?":3,"<s>":4,"ab":6,"▁ab":7},"merges":["a b",["▁","ab"]]}}
        """,
        """
        {"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":2,"content":"<x>","single_word":true,"special":false}],
        "pre_tokenizer":{"type":"Sequence","pretokenizers":[
        {"type":"Split","pattern":{"Regex":" ?[^\\s\\p{L}]+|\\p{L}+"},"behavior":"Isolated","invert":false},
        {"type":"Digits","individual_digits":true},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]},
        "post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel","trim_offsets":false}]},
        "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
        "model":{"unk_token":"a","vocab":{"a":0,"Ġ":1,"aĠ":3},"merges":[["a","Ġ"]]}}
        """,
    ];

    private const string Settings = """
        {"tokenizer_class":"LlamaTokenizer","bos_token":"a","eos_token":{"content":"<x>","lstrip":false},"pad_token":null,"add_bos_token":true,
        "add_eos_token":false,"chat_template":"{{ x }}","added_tokens_decoder":{"0":{"content":"a"}},"model_max_length":1e30}
        """;

    [Fact]
    public void EveryFileIsReadOrRefusedByName()
    {
        using var files = new TestFiles();
        var random = new Random(11);
        var refused = new HashSet<TokenizerFailure>();
        int read = 0;
        for (int i = 0; i < Cases; i++)
        {
            string tokenizer = Bases[i % 2], settings = Settings;
            if (i % 4 == 0) settings = Mutated(settings, random);
            else tokenizer = Mutated(tokenizer, random);
            files.Text("tokenizer.json", tokenizer);
            files.Text("tokenizer_config.json", settings);
            if (Failure(files.Folder, $"case {i}\n{tokenizer}\n{settings}") is { } failure) refused.Add(failure);
            else read++;
        }
        Assert.InRange(read, Cases / 20, Cases * 19 / 20); // Neither all refused at the door nor all harmless.
        Assert.True(refused.Count >= 8, $"only {string.Join(' ', refused)}");
    }

    private static TokenizerFailure? Failure(string folder, string shown)
    {
        var watch = Stopwatch.StartNew();
        long before = GC.GetAllocatedBytesForCurrentThread();
        TokenizerFailure? failure = null;
        try
        {
            Use(Tokenizer.Load(folder), shown);
        }
        catch (TokenizerException error)
        {
            Assert.Contains(folder, error.Message, StringComparison.Ordinal);
            failure = error.Failure;
        }
        catch (Exception error) when (error is not Xunit.Sdk.XunitException)
        {
            Assert.Fail($"{error.GetType().Name} {error.Message}\n{error.StackTrace}\n{shown}");
        }
        Assert.True(watch.Elapsed.TotalSeconds < 10, $"{watch.Elapsed.TotalSeconds:0.0} s\n{shown}");
        Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < MostBytes, shown);
        return failure;
    }

    private static void Use(Tokenizer tokenizer, string shown)
    {
        foreach (string text in Texts)
        {
            int[] ids = tokenizer.Encode(text);
            Assert.All(ids, id => Assert.InRange(id, 0, tokenizer.VocabularySize - 1));
            Assert.True(ids.AsSpan().SequenceEqual(tokenizer.Encode(text)), shown);
            var stream = tokenizer.Stream();
            Assert.True(tokenizer.Decode(ids) == string.Concat(ids.Select(stream.Add)) + stream.Finish(), $"a stream differs\n{shown}");
        }
    }

    private static string Mutated(string json, Random random)
    {
        var root = JsonNode.Parse(json)!;
        for (int changes = random.Next(1, 4); changes > 0; changes--) Change(root, random);
        string text = root.ToJsonString();
        return random.Next(12) switch
        {
            0 => text[..random.Next(text.Length)],
            1 => text.Insert(random.Next(text.Length), ((char)random.Next(1, 0x3000)).ToString()),
            2 => text.Replace("\"type\"", "\"type\":\"ByteLevel\",\"type\"", StringComparison.Ordinal),
            _ => text,
        };
    }

    private static void Change(JsonNode root, Random random)
    {
        var nodes = Inner(root).ToList();
        if (nodes.Count == 0) return;
        var chosen = nodes[random.Next(nodes.Count)];
        var value = random.Next(3) == 0 ? nodes[random.Next(nodes.Count)].DeepClone() : Value(random);
        switch (chosen.Parent)
        {
            case JsonArray list:
                if (random.Next(3) == 0) list.RemoveAt(chosen.GetElementIndex());
                else if (random.Next(3) == 0) list.Insert(random.Next(list.Count + 1), value);
                else list[chosen.GetElementIndex()] = value;
                break;
            case JsonObject fields:
                string name = chosen.GetPropertyName();
                int kind = random.Next(5);
                if (kind <= 1) fields.Remove(name);
                if (kind == 1) fields[name + "s"] = value;
                else if (kind > 1) fields[kind == 2 ? "extra" : name] = value;
                break;
        }
    }

    private static JsonNode? Value(Random random)
    {
        if (random.Next(40) == 0) return JsonValue.Create(new string((char)random.Next('a', 'd'), 20_000));
        if (random.Next(40) == 0) return JsonNode.Parse(string.Concat(Enumerable.Repeat("[", 50)) + string.Concat(Enumerable.Repeat("]", 50)));
        string value = Values[random.Next(Values.Length)];
        return value.Contains("ud800", StringComparison.Ordinal) ? JsonValue.Create("\uD800") : JsonNode.Parse(value);
    }

    private static IEnumerable<JsonNode> Inner(JsonNode node)
    {
        var children = node is JsonObject fields ? fields.Select(field => field.Value) : node is JsonArray list ? list : [];
        return children.OfType<JsonNode>().SelectMany(child => Inner(child).Prepend(child));
    }
}
