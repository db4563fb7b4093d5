using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace NeuronQuant.Tests.Notebooks;

/// <summary>The pixels of a PNG, as a browser writes it: 8 bits a channel, RGB or RGBA, not interlaced. Anything else is refused.</summary>
/// <remarks>
/// A PNG is chunks of length, name, data and checksum. The IDAT chunks together are one zlib stream of rows, each with a leading byte that says
/// which neighbours were subtracted: 0 none, 1 the left, 2 the upper, 3 their mean, 4 the Paeth predictor (PNG specification, section 9).
/// Checksums are not verified: the picture comes from the program beside, not from a disk.
/// </remarks>
internal sealed class Pixels
{
    private readonly byte[] _data;
    private readonly int _channels;

    private Pixels(int width, int height, int channels, byte[] data) => (Width, Height, _channels, _data) = (width, height, channels, data);

    public int Width { get; }

    public int Height { get; }

    /// <summary>Red, green and blue in one number, as in a style sheet.</summary>
    public int this[int x, int y]
    {
        get
        {
            int at = ((y * Width) + x) * _channels;
            return (_data[at] << 16) | (_data[at + 1] << 8) | _data[at + 2];
        }
    }

    /// <summary>Every pixel, row by row.</summary>
    public IEnumerable<int> All => Enumerable.Range(0, Height).SelectMany(y => Enumerable.Range(0, Width).Select(x => this[x, y]));

    /// <summary>Whether a pixel has a colour, within some steps of each channel, which is what smooth edges and colour profiles may add.</summary>
    public static bool IsNear(int pixel, int colour, int steps = 8) =>
        Math.Abs((pixel >> 16) - (colour >> 16)) <= steps && Math.Abs(((pixel >> 8) & 255) - ((colour >> 8) & 255)) <= steps && Math.Abs((pixel & 255) - (colour & 255)) <= steps;

    /// <summary>Decodes a file.</summary>
    public static Pixels Decode(byte[] png)
    {
        var (width, height, channels) = (0, 0, 0);
        using var packed = new MemoryStream();
        for (int at = 8; at < png.Length;)
        {
            int length = BinaryPrimitives.ReadInt32BigEndian(png.AsSpan(at));
            var data = png.AsSpan(at + 8, length);
            switch (Encoding.ASCII.GetString(png, at + 4, 4))
            {
                case "IHDR":
                    (width, height) = (BinaryPrimitives.ReadInt32BigEndian(data), BinaryPrimitives.ReadInt32BigEndian(data[4..]));
                    channels = (data[8], data[9], data[12]) switch { (8, 2, 0) => 3, (8, 6, 0) => 4, var other => throw new NotSupportedException($"PNG of depth, colour and interlace {other}") };
                    break;
                case "IDAT":
                    packed.Write(data);
                    break;
            }
            at += length + 12;
        }
        packed.Position = 0;
        using var rows = new ZLibStream(packed, CompressionMode.Decompress);
        return new Pixels(width, height, channels, Unfilter(rows, height, width * channels, channels));
    }

    private static byte[] Unfilter(Stream rows, int height, int stride, int channels)
    {
        var pixels = new byte[height * stride];
        for (int y = 0; y < height; y++)
        {
            int filter = rows.ReadByte();
            rows.ReadExactly(pixels, y * stride, stride);
            for (int i = 0; i < stride; i++)
            {
                int here = (y * stride) + i;
                int left = i < channels ? 0 : pixels[here - channels], up = y == 0 ? 0 : pixels[here - stride], corner = y == 0 || i < channels ? 0 : pixels[here - stride - channels];
                pixels[here] += (byte)(filter switch
                {
                    0 => 0,
                    1 => left,
                    2 => up,
                    3 => (left + up) / 2,
                    4 => Paeth(left, up, corner),
                    _ => throw new InvalidDataException($"PNG filter {filter}"),
                });
            }
        }
        return pixels;
    }

    private static int Paeth(int left, int up, int corner)
    {
        int guess = left + up - corner, toLeft = Math.Abs(guess - left), toUp = Math.Abs(guess - up), toCorner = Math.Abs(guess - corner);
        return toLeft <= toUp && toLeft <= toCorner ? left : toUp <= toCorner ? up : corner;
    }
}
