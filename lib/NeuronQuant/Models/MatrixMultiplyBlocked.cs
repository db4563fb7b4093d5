namespace NeuronQuant.Models;

/// <summary>A large multiplication in blocks that fit the caches, shared out to all cores.</summary>
/// <remarks>
/// For each block of 256 steps in k and of some columns, the team first packs the right factor once, for all; then each part packs its
/// rows of the left factor and multiplies tile by tile. A left panel stays in the first cache while the packed columns, half a megabyte,
/// stream from the second. Source of the scheme: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication", 2008.
/// Every element of the result is the same sequence of multiply-adds in the order of k, in blocks of 256, whatever the parts and threads.
/// </remarks>
internal unsafe struct MatrixMultiplyBlocked<TKernel> : IWork where TKernel : struct, IMicroKernel
{
    private const int DepthBlock = 256;
    private const int ColumnBlock = 512;
    private const int RowBlock = 96;

    private Matrix _left, _right;
    private float* _target, _rightPanels;
    private nint _stride;
    private bool _accumulate, _packing;
    private int _k0, _depth, _j0, _columns, _rowBlock, _rowBlocks, _panelsInPart;

    /// <summary>target[m, n] (+)= left[m, k] * right[k, n]; the target's rows are stride floats apart and its columns side by side.</summary>
    public static void Run(Matrix left, Matrix right, float* target, nint stride, bool accumulate)
    {
        var work = new MatrixMultiplyBlocked<TKernel> { _left = left, _right = right, _target = target, _stride = stride };
        work._rightPanels = Scratch.Get(ScratchUse.RightPanels, DepthBlock * RoundUp(Math.Min(right.Columns, ColumnBlock), TKernel.Columns));
        work._rowBlock = Math.Clamp(RoundUp(left.Rows / (4 * ThreadTeam.Size), TKernel.Rows), TKernel.Rows, RowBlock);
        work._rowBlocks = Blocks(left.Rows, work._rowBlock);
        for (work._j0 = 0; work._j0 < right.Columns; work._j0 += ColumnBlock)
        {
            work._columns = Math.Min(ColumnBlock, right.Columns - work._j0);
            for (work._k0 = 0; work._k0 < left.Columns; work._k0 += DepthBlock)
            {
                work._depth = Math.Min(DepthBlock, left.Columns - work._k0);
                work._accumulate = accumulate || work._k0 > 0;
                work.RunBlock();
            }
        }
    }

    public readonly void Part(int part)
    {
        if (_packing) PackRight(part);
        else Multiply(part % _rowBlocks, part / _rowBlocks);
    }

    private void RunBlock()
    {
        int panels = Blocks(_columns, TKernel.Columns);
        _panelsInPart = Blocks(panels, 2 * ThreadTeam.Size);
        _packing = true;
        ThreadTeam.Run(ref this, Blocks(panels, _panelsInPart));
        int wanted = Blocks(4 * ThreadTeam.Size, _rowBlocks); // Few rows: the columns are divided too, so that all cores have work.
        _panelsInPart = Blocks(panels, wanted);
        _packing = false;
        ThreadTeam.Run(ref this, _rowBlocks * Blocks(panels, _panelsInPart));
    }

    private readonly void PackRight(int part)
    {
        int width = TKernel.Columns, end = Math.Min(_columns, (part + 1) * _panelsInPart * width);
        for (int j = part * _panelsInPart * width; j < end; j += width)
            MatrixMultiplyPacking.Pack(_right.At(_k0, _j0 + j), _right.ColumnStride, _right.RowStride, Math.Min(width, _columns - j), _depth,
                width, _rightPanels + (nint)j * _depth);
    }

    private readonly void Multiply(int rowPart, int columnPart)
    {
        float* panel = Scratch.Get(ScratchUse.LeftPanels, DepthBlock * TKernel.Rows);
        float* edge = stackalloc float[TKernel.Rows * TKernel.Columns];
        int lastRow = Math.Min(_left.Rows, (rowPart + 1) * _rowBlock), width = TKernel.Columns;
        int firstColumn = columnPart * _panelsInPart * width, lastColumn = Math.Min(_columns, firstColumn + _panelsInPart * width);
        for (int i = rowPart * _rowBlock; i < lastRow; i += TKernel.Rows)
        {
            int rows = Math.Min(TKernel.Rows, lastRow - i);
            MatrixMultiplyPacking.Pack(_left.At(i, _k0), _left.RowStride, _left.ColumnStride, rows, _depth, TKernel.Rows, panel);
            for (int j = firstColumn; j < lastColumn; j += width)
            {
                float* right = _rightPanels + (nint)j * _depth, target = _target + i * _stride + _j0 + j;
                int columns = Math.Min(width, lastColumn - j);
                if (rows == TKernel.Rows && columns == width) TKernel.Run(_depth, panel, right, target, _stride, _accumulate);
                else
                {
                    TKernel.Run(_depth, panel, right, edge, width, false);
                    CopyEdge(edge, width, target, _stride, rows, columns, _accumulate);
                }
            }
        }
    }

    private static void CopyEdge(float* edge, int width, float* target, nint stride, int rows, int columns, bool accumulate)
    {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                target[i * stride + j] = accumulate ? target[i * stride + j] + edge[i * width + j] : edge[i * width + j];
    }

    private static int Blocks(int count, int size) => (count + size - 1) / size;

    private static int RoundUp(int count, int size) => Blocks(count, size) * size;
}
